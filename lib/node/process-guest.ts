import type { Socket } from 'node:net';
import { Worker } from 'node:worker_threads';
import { type Endpoint, type TransferHandler, transferHandlers } from '../comlink.js';
import type { GuestPort } from '../guest/port.js';
import { encodeError } from '../wire/errors.js';
import { ENDED, findHandled } from '../wire/protocol.js';
import type { WireHandle } from './process-host.js';
import { rawHandle } from './raw-handle.js';
import { belongToTask, isSocket, readToTheEnd } from './served-socket.js';
import { toFrame, tryToFrame } from './frame.js';
import { COMLINK, type Handle, IpcMultiplexer, READ_COUNT, STRAY_ERROR, TASK_PORT } from './ipc.js';
import { KeptListeners } from './kept-listeners.js';
import { WORKER_MARK } from './worker-mark.js';

/** As it was before any task could take it away. */
const send = process.send?.bind(process);
/** What tells Node's own part of the channel of handles, and of who listens. */
const INTERNAL_EVENTS = ['internalMessage', 'newListener', 'removeListener'];
const listeners = new KeptListeners(process, INTERNAL_EVENTS);

/** How many messages of the task port were read. */
let read = 0;

const mark = process.env[WORKER_MARK];
if (mark !== undefined) {
  // Not for processes that this one may start.
  Reflect.deleteProperty(process.env, WORKER_MARK);
  // From the start on: the file of a worker of one's own may throw before it serves.
  listeners.on('uncaughtExceptionMonitor', (error: Error) => {
    tellHost(STRAY_ERROR, encodeError(error));
  });
  // Tasks that were sent and not read are none that a dying process has begun.
  listeners.on('exit', () => {
    tellHost(READ_COUNT, read);
  });
  watchParent(Number(mark));
}

function tellHost(port: number, data: unknown): void {
  try {
    send?.(toFrame(port, data, false), undefined, {}, () => undefined);
  } catch {
    // An error with something in it that cannot be sent: the end of this process tells of it.
  }
}

/**
 * The guest's side of the channel to the parent process. The child ends when the channel does: a parent that died, however
 * it did, leaves no orphans.
 */
export class ParentChannel {
  readonly endpoint: Endpoint;
  readonly #ipc: IpcMultiplexer;

  constructor() {
    const ipc = new IpcMultiplexer(
      {
        // It is as long as this process goes on.
        connected: true,
        send: (message, handle, done) => send?.(message, handle, {}, done) === true,
        lost: endProcess,
      },
      1,
    );
    this.#ipc = ipc;
    this.endpoint = {
      postMessage: (message, transfer) => {
        ipc.post(COMLINK, message, transfer);
      },
      addEventListener: (_type, listener) => {
        ipc.listen(COMLINK, (data) => {
          listener({ data } as never);
        });
      },
      removeEventListener: () => {
        // Comlink listens as long as the process lives.
      },
    };
    listeners.on('message', (frame: unknown, handle: Handle | undefined) => {
      if (isSocket(handle)) hold(handle);
      ipc.receive(frame, handle);
    });
    listeners.on('disconnect', endProcess);
    const handles: TransferHandler<unknown, WireHandle> & { discard(wire: WireHandle): void } = {
      canHandle: () => false,
      serialize: () => {
        throw new Error('Handles are sent by the host');
      },
      deserialize: openHandle,
      discard: ([handle]) => {
        if (isSocket(handle)) handle.destroy();
      },
    };
    transferHandlers.set('handle', handles);
  }

  connect(receive: (message: unknown) => void, unreadable: () => void): GuestPort {
    this.#ipc.listen(
      TASK_PORT,
      (message, handle) => {
        read++;
        if (handle !== undefined) attach(handle, message as unknown[]);
        receive(message);
      },
      () => {
        read++;
        unreadable();
      },
    );
    const ends: unknown[] = [];
    const tellEnds = () => {
      if (ends.length > 0) this.#ipc.post(TASK_PORT, [ENDED, ...ends.splice(0)]);
    };
    listeners.on('exit', tellEnds);
    return {
      postEnd: (...end) => {
        if (ends.push(...end) === end.length) setImmediate(tellEnds);
      },
      isCongested: () => this.#ipc.congested,
      whenClear: () => this.#ipc.clear(),
      clone: tryToFrame,
      postMessage: (message, transfer) => {
        // In order: an answer of what runs here must not come before the ends of what does no more.
        tellEnds();
        this.#ipc.post(TASK_PORT, message, transfer);
      },
    };
  }
}

/** Puts the handle that came with a task into the argument that stands for it. */
function attach(handle: Handle, message: unknown[]): void {
  const at = findHandled(message, 'handle');
  if (at !== undefined) (message[at] as WireHandle)[0] = handle;
}

/** The socket or server that came with a task. */
function openHandle([handle, head, allowHalfOpen, served]: WireHandle): unknown {
  if (handle === undefined) {
    throw new Error(
      'The socket did not reach the process: it was closed before, or the process has no file descriptor left',
    );
  }
  // A server, or the bare handle of an address to listen on.
  if (!isSocket(handle)) return handle;
  readToTheEnd(handle);
  if (served) belongToTask(handle);
  handle.allowHalfOpen = allowHalfOpen;
  if (head !== null) handle.unshift(head);
  rawHandle(handle)?.readStart();
  return handle;
}

/** The host hears no more of this process, and would wait for it for ever. */
function endProcess(): void {
  process.exit();
}

/**
 * Has nothing read of a socket until its task begins, which may have to wait, for the module of its function at least. Node
 * reads on arrival; but whatever came, an end or a reset, would be told when nobody listens, and the end be answered with
 * one because nobody has said yet that this side may go on.
 */
function hold(socket: Socket): void {
  rawHandle(socket)?.readStop();
}

/**
 * Ends this process within a second of its parent's death even when its thread is blocked and hears of nothing. What
 * started it may stand between the two: it is watched as well.
 *
 * @param host - the parent as it has named itself: it may have died before anything here could ask for it
 */
function watchParent(host: number): void {
  const watch = `
    const { host, starter } = require('node:worker_threads').workerData;
    const isGone = () => {
      try {
        return !process.kill(host, 0);
      } catch (error) {
        return error.code === 'ESRCH';
      }
    };
    setInterval(() => {
      if (process.ppid !== starter || isGone()) process.kill(process.pid, 'SIGKILL');
    }, 300);
  `;
  const limits = { maxOldGenerationSizeMb: 8, maxYoungGenerationSizeMb: 2, codeRangeSizeMb: 8, stackSizeMb: 1 };
  const watcher = new Worker(watch, {
    eval: true,
    // Asked here: before that thread has come up, a task may block this one and the parent may die.
    workerData: { host, starter: process.ppid },
    execArgv: [],
    // What NODE_OPTIONS preloads would run there, too, and may need more memory than that thread is given.
    env: {},
    resourceLimits: limits,
    name: 'parent watch',
  });
  watcher.unref();
  watcher.on('error', () => {
    // Without it, the end of the channel still ends a process that is not blocked.
  });
}
