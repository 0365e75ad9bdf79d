import { type ChildProcess, fork, type ForkOptions } from 'node:child_process';
import { Server, Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import type { Endpoint } from '../comlink.js';
import type { Backend, Connection, ConnectionEvents, HandledValue } from '../pool/backend.js';
import { clearOwnTimeout, setOwnTimeout } from '../timeouts.js';
import { decodeError, type WireError } from '../wire/errors.js';
import { END } from '../wire/protocol.js';
import { inheritedFlags } from './exec-argv.js';
import { tryToFrame } from './frame.js';
import { HandleLine } from './handle-line.js';
import { type RawHandle, rawHandle } from './raw-handle.js';
import { LINGER_MS, ServedSocket } from './served-socket.js';
import { COMLINK, type Handle, IpcMultiplexer, READ_COUNT, STRAY_ERROR, TASK_PORT } from './ipc.js';
import { WORKER_MARK } from './worker-mark.js';

const MAIN = fileURLToPath(new URL('../bundle/process-main.js', import.meta.url));

/** ms that a process that has nothing to do is given to end by itself. */
const GRACE_MS = 1000;

/** Options of child processes. */
export interface ProcessOptions extends ForkOptions {
  /** Limits of the JavaScript engine, as for threads. */
  resourceLimits?:
    | {
        /** MB of the heap of long-lived objects. */
        maxOldGenerationSizeMb?: number;
        /** MB of the heap of young objects. */
        maxYoungGenerationSizeMb?: number;
        /** MB of the stack. */
        stackSizeMb?: number;
      }
    | undefined;
}

/** A bound address that processes listen on side by side, as cluster's do: a handle of Node's that is no server here. */
export class ListenHandle {
  readonly handle: unknown;

  constructor(handle: unknown) {
    this.handle = handle;
  }
}

/** Child processes, over Node's own channel with advanced serialization. */
export function processBackend(source: string | URL | undefined, options: ProcessOptions | undefined): Backend {
  const args = source === undefined ? [] : [toPath(source)];
  return {
    sharedMemory: false,
    handsOver: (value) => value instanceof Server || value instanceof ListenHandle,
    start: (_name, events) => new ProcessConnection(fork(MAIN, args, toForkOptions(options ?? {})), events),
  };
}

/** What is said of a handle; the handle itself comes beside the message. */
export type WireHandle = [
  handle: Handle | undefined,
  /** What was read of it here. */
  head: Uint8Array | null,
  allowHalfOpen: boolean,
  /** It belongs to its task. */
  served: boolean,
];

const BARE: WireHandle = [undefined, null, false, false];

/** A socket or a server goes to a process as the operating system's handle of it. */
function encodeHandle(value: unknown): HandledValue | undefined {
  if (value instanceof Server) {
    if (isSecure(value)) {
      throw new DOMException(
        'a server of TLS is more than its handle, and a process would serve without TLS; make it in the task',
        'DataCloneError',
      );
    }
    return { value: BARE, handler: 'handle', handle: value };
  }
  if (value instanceof ListenHandle) return { value: BARE, handler: 'handle', handle: value.handle };
  if (value instanceof ServedSocket) return encodeSocket(value.socket, true);
  return value instanceof Socket ? encodeSocket(value, false) : undefined;
}

/** Whether it is a server of TLS, or of HTTPS. By what only these have: to name their class makes Node load all of TLS. */
function isSecure(server: Server): boolean {
  return 'setSecureContext' in server;
}

/**
 * Whether a socket can be handed over: one of TLS or of a terminal is more than a handle, and one that is being connected waits
 * for news of its handle here. They are bridged.
 */
function isHandedOver(socket: Socket): boolean {
  if (socket.connecting) return false;
  const kind = rawHandle(socket)?.constructor.name;
  return kind === undefined || kind === 'TCP' || kind === 'Pipe';
}

function isClosed(handle: Handle | undefined): boolean {
  return handle !== undefined && ((handle as Partial<RawHandle>).fd ?? 0) < 0;
}

function encodeSocket(value: Socket, served: boolean): HandledValue | undefined {
  if (!isHandedOver(value)) return undefined;
  // What this side reads from here on would be lost, and there is no public way to stop it reading.
  rawHandle(value)?.readStop();
  // So would be what it has read already: that goes along.
  const head = value.readableLength > 0 ? (value.read() as Uint8Array | null) : null;
  const wire: WireHandle = [undefined, head, value.allowHalfOpen, served];
  return { value: wire, handler: 'handle', handle: value, endsQuietly: served };
}

function toPath(source: string | URL): string {
  return source instanceof URL || source.startsWith('file:') ? fileURLToPath(source) : source;
}

function toForkOptions({ resourceLimits = {}, ...options }: ProcessOptions): ForkOptions {
  const { maxOldGenerationSizeMb, maxYoungGenerationSizeMb, stackSizeMb } = resourceLimits;
  const limits: string[] = [];
  if (maxOldGenerationSizeMb !== undefined) limits.push(`--max-old-space-size=${String(maxOldGenerationSizeMb)}`);
  if (maxYoungGenerationSizeMb !== undefined) limits.push(`--max-semi-space-size=${String(maxYoungGenerationSizeMb)}`);
  if (stackSizeMb !== undefined) limits.push(`--stack-size=${String(Math.round(stackSizeMb * 1000))}`);
  return {
    ...options,
    env: { ...(options.env ?? process.env), [WORKER_MARK]: String(process.pid) },
    execArgv: [...(options.execArgv ?? inheritedFlags(process.execArgv)), ...limits],
    serialization: 'advanced',
  };
}

class ProcessConnection implements Connection {
  readonly endpoint: Endpoint;
  /** The task port is part of the channel. */
  readonly guestPort = undefined;
  sent = 0;
  readonly #child: ChildProcess;
  readonly #ipc: IpcMultiplexer;
  readonly #line: HandleLine;
  /** Of sockets that were handed over and may not have arrived: Node closes them here when they have, and else nobody does. */
  #underWay: { socket: Socket; handle: RawHandle }[] = [];
  /** Some were handed over to it. */
  #hasHadSockets = false;
  /** Of a process that is to end by itself: when that has taken too long. */
  #grace: ReturnType<typeof setOwnTimeout> | undefined;

  constructor(child: ChildProcess, events: ConnectionEvents) {
    this.#child = child;
    this.#line = new HandleLine((message, handle, done) =>
      // With a bare handle that was closed meanwhile, Node would send nothing. The child says that it lacks it.
      child.send(message as never, isClosed(handle) ? undefined : handle, { keepOpen: false }, done),
    );
    this.#ipc = new IpcMultiplexer(
      {
        get connected() {
          return child.connected;
        },
        send: (message, handle, done) => {
          if (handle instanceof Socket) this.#noteUnderWay(handle);
          return this.#line.send(message, handle, done);
        },
      },
      0,
    );
    whenGivenUp(child, (message) => {
      // Without it: the child says that it lacks it, and its task fails.
      this.#line.send(message, undefined, () => undefined);
    });
    this.endpoint = endpointOf(this.#ipc);
    this.#ipc.listen(
      TASK_PORT,
      (data) => {
        events.message(data);
      },
      () => {
        events.unreadable();
      },
    );
    this.#ipc.listen(STRAY_ERROR, (error) => {
      events.error(decodeError(error as WireError));
    });
    child.on('message', (frame, handle) => {
      this.#ipc.receive(frame, handle);
    });
    this.#watchEnd(events);
  }

  readonly clone = tryToFrame;

  get lost(): boolean {
    return !this.#child.connected;
  }

  #noteUnderWay(socket: Socket): void {
    this.#hasHadSockets = true;
    const handle = rawHandle(socket);
    if (handle === undefined) return;
    if (this.#underWay.length >= 64) this.#underWay = this.#underWay.filter(({ handle: { fd = 0 } }) => fd >= 0);
    this.#underWay.push({ socket, handle });
  }

  encode(value: unknown): HandledValue | undefined {
    return encodeHandle(value);
  }

  post(message: unknown, transfer: readonly unknown[], handle?: unknown): void {
    this.#ipc.post(TASK_PORT, message, transfer, handle as Handle | undefined);
    this.sent++;
  }

  drain(): void {
    // The end is told only after the channel has been read to its end.
  }

  ref(): void {
    this.#child.ref();
    this.#child.channel?.ref();
  }

  unref(): void {
    this.#child.unref();
    this.#child.channel?.unref();
  }

  end(): void {
    // The child ends when its channel does, or is told to, so that its connections end in order. One that does not, because
    // its thread is blocked, is ended.
    if (this.#hasHadSockets) this.#ipc.post(TASK_PORT, [END]);
    else if (this.#child.connected) this.#child.disconnect();
    this.#endAfter(GRACE_MS);
  }

  letLinger(): void {
    clearOwnTimeout(this.#grace);
    this.#grace = undefined;
    this.#endAfter(LINGER_MS + GRACE_MS);
  }

  #endAfter(ms: number): void {
    this.#grace ??= setOwnTimeout(() => {
      this.terminate();
    }, ms);
  }

  terminate(): void {
    this.#child.kill('SIGKILL');
  }

  /** A process has ended when it has exited and its last messages have been read; they may come after its exit. */
  #watchEnd(events: ConnectionEvents): void {
    const child = this.#child;
    let exit: { exitCode: number | undefined; signal: string | undefined } | undefined;
    let told = false;
    let read: number | undefined;
    this.#ipc.listen(READ_COUNT, (count) => {
      read = count as number;
    });
    const tell = (cause?: unknown) => {
      if (told) return;
      told = true;
      this.#ipc.close();
      this.#line.close();
      for (const { socket, handle } of this.#underWay.splice(0)) {
        // One that has not left is still the socket's.
        if (rawHandle(socket) === handle) socket.destroy();
        else handle.close();
      }
      events.exit({ ...exit, ...(cause === undefined ? {} : { cause }) }, read);
    };
    child.once('disconnect', () => {
      // One that goes on without its channel, which a task may have harmed, would never be heard of again.
      if (exit === undefined) this.#endAfter(GRACE_MS);
    });
    child.once('exit', (code, signal) => {
      clearOwnTimeout(this.#grace);
      exit = { exitCode: code ?? undefined, signal: signal ?? undefined };
      if (child.connected)
        child.once('disconnect', () => {
          tell();
        });
      else tell();
    });
    child.on('error', (error) => {
      // It could not be started; if it could, its exit follows.
      if (child.pid === undefined) tell(error);
    });
  }
}

/**
 * Has `tell` called with each message whose socket the child could not receive, for want of a file descriptor. Node sends it
 * again a few times, then drops it, and says so to nobody who could tell which it was.
 */
function whenGivenUp(child: ChildProcess, tell: (message: unknown) => void): void {
  // What Node keeps of a socket that the child has not acknowledged; there is no public way to it.
  const sender = child as unknown as { _pendingMessage?: { message: { msg: unknown } } | null };
  let refused: typeof sender._pendingMessage;
  child.prependListener('internalMessage', ({ cmd }: { cmd?: unknown }) => {
    refused = cmd === 'NODE_HANDLE_NACK' ? sender._pendingMessage : undefined;
  });
  child.on('internalMessage', () => {
    if (refused && sender._pendingMessage !== refused) tell(refused.message.msg);
    refused = undefined;
  });
}

function endpointOf(ipc: IpcMultiplexer): Endpoint {
  return {
    postMessage: (message, transfer) => {
      ipc.post(COMLINK, message, transfer);
    },
    addEventListener: (_type, listener) => {
      ipc.listen(COMLINK, (data) => {
        listener({ data } as never);
      });
    },
    removeEventListener: () => {
      // Comlink listens as long as the worker lives.
    },
  };
}
