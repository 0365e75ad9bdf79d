import { type AddressInfo, createServer, isIP, type ListenOptions, type Server, type Socket } from 'node:net';
import { reportCallbackError } from '#diagnostics';
import type { BoundExecutor, Executor } from '../executor.js';
import { checkCount, checkDuration, checkFunction, checkSignal, readOptions, show } from '../options.js';
import { PinnedCallable } from '../pool/callables.js';
import { WorkerPoolExecutor } from '../pool/worker-pool.js';
import { checkTimeout } from '../timeouts.js';
import { endServed, reset, ServedSocket } from './served-socket.js';
import { type Room, type ServerStats, Slots } from './slots.js';

/** A server whose work is done by a pool. */
export interface PooledServer extends AsyncDisposable {
  /** Where it listens. */
  address(): AddressInfo;
  /** Counters, now and since the start. */
  stats(): ServerStats;
  /**
   * Stops accepting, lets what is being served finish, and ends what has not finished in time. `await using` does the same.
   *
   * @param options - `grace`: ms given to finish; without a limit by default
   */
  close(options?: { grace?: number }): Promise<void>;
}

/** Serves one connection, in a worker. The connection is closed when it returns. */
export type SocketHandler = (socket: Socket, address: { address: string; port: number; family: string }) => unknown;

/** Options of {@link serveSockets}, beside those of `net.Server.listen`. */
export interface SocketServerOptions extends ListenOptions {
  /** Connections that may wait, unread, for a place in the pool; further ones are refused. @default 1024 */
  maxPending?: number | undefined;
  /** ms that a connection may be served; past it, it is closed and its handler stopped. No limit by default. */
  timeout?: number | undefined;
  /** Whether what a handler writes is sent at once, and not kept back to go with what it writes next. @default false */
  noDelay?: boolean | undefined;
  /** Whether a peer that is silent is asked whether it is still there; one that is not ends its connection. @default false */
  keepAlive?: boolean | undefined;
  /** ms of silence before `keepAlive` asks, in whole seconds. @default what the system does: two hours, mostly */
  keepAliveInitialDelay?: number | undefined;
  /** Closes the server and ends its connections. */
  signal?: AbortSignal | undefined;
  /** Told of errors of handlers, with the address of the peer. @default nothing: the connection is closed */
  onError?: ((error: unknown, peer: string) => void) | undefined;
}

/**
 * Serves sockets from a pool: each accepted connection is one task, with a working socket in the worker. To threads the
 * socket is moved, from Node 24.21 and 26.6 on, or bridged with backpressure; to processes it is handed over as the
 * operating system's handle, so that the connection never passes this process again. No more connections are served at
 * once than the pool has slots.
 *
 * @param executor - the pool; it stays open when the server closes
 * @param handler - given as for `executor.submit`; called with the socket and the address of the peer
 * @param options - where to listen, and bounds
 * @returns the server, once it listens
 * @throws TypeError or RangeError when an option is nonsense
 * @throws ExecutorShutdownError or BrokenExecutor when the pool takes no more tasks
 *
 * @example
 * ```ts
 * import { ThreadPoolExecutor } from 'concurrent-futures';
 * import { serveSockets } from 'concurrent-futures/server';
 * import type { Socket } from 'node:net';
 *
 * const executor = new ThreadPoolExecutor(4, { concurrentTasksPerWorker: 32 });
 * const echo = async (socket: Socket) => { for await (const chunk of socket) socket.write(chunk); };
 * await using server = await serveSockets(executor, echo, { port: 0, host: '127.0.0.1' });
 * console.log(server.address().port > 0); // true
 * ```
 */
export async function serveSockets(
  executor: Executor,
  handler: SocketHandler,
  options: SocketServerOptions,
): Promise<PooledServer> {
  const server = new SocketServer(executor, handler, options);
  await server.listen();
  return server;
}

/** A connection, and the address of its peer. */
interface Accepted {
  socket: Socket;
  peer: Parameters<SocketHandler>[1];
}

class SocketServer implements PooledServer {
  /** The executor, under the bounds of a connection. */
  readonly #bounded: BoundExecutor;
  readonly #handler: SocketHandler;
  readonly #listenOptions: ListenOptions;
  readonly #onError: ((error: unknown, peer: string) => void) | undefined;
  readonly #server: Server;
  readonly #slots: Slots<Accepted>;
  readonly #unwatch: () => void;
  readonly #sockets = new Set<Socket>();
  readonly #ending = new AbortController();
  readonly #signal: AbortSignal | undefined;
  /** The address that every connection comes to, unless the server listens on more than one. */
  #local: AddressInfo | undefined;
  #closed: Promise<void> | undefined;

  constructor(executor: Executor, handler: SocketHandler, given: SocketServerOptions) {
    const options = readOptions(given, 'serveSockets');
    const { port, path, fd } = options as Partial<SocketServerOptions> & { fd?: unknown };
    if (port === undefined && path === undefined && fd === undefined) {
      throw new TypeError("serveSockets needs to know where to listen: a 'port', 0 for any, or a 'path'");
    }
    const {
      maxPending = 1024,
      timeout,
      signal,
      onError,
      noDelay,
      keepAlive,
      keepAliveInitialDelay,
      ...listenOptions
    } = options;
    if (timeout !== undefined) checkDuration(timeout, 'timeout');
    checkSignal(signal);
    checkFunction(onError, 'onError');
    signal?.throwIfAborted();
    this.#handler = pin(executor, handler, 'serveSockets');
    this.#onError = onError;
    this.#signal = signal;
    // The queue of waiting connections is here; the listen backlog only has to outlast a busy moment.
    if (port !== undefined) checkPort(port);
    this.#listenOptions = { backlog: 1024, ...listenOptions };
    this.#slots = new Slots(
      slotsOf(executor),
      checkCount(maxPending, 'maxPending', 0, true),
      (accepted) => {
        this.#serve(accepted);
      },
      roomOf(executor),
    );
    this.#bounded = executor.with({ signal: this.#ending.signal, ...(timeout === undefined ? {} : { timeout }) });
    this.#unwatch = whenResized(executor, () => {
      this.#slots.fill();
    });
    // Nothing is read here: every byte belongs to the worker.
    const settings = { noDelay, keepAlive, keepAliveInitialDelay };
    this.#server = createServer({ pauseOnConnect: true, allowHalfOpen: true, ...settings }, (socket) => {
      this.#accept(socket);
    });
  }

  listen(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(this.#listenOptions, () => {
        this.#server.off('error', reject);
        this.#local = oneAddress(this.#server.address());
        // What fails from here on is the accepting of one connection, for want of file descriptors: others go on.
        this.#server.on('error', ignore);
        if (this.#signal?.aborted === true) void this.close({ grace: 0 });
        this.#signal?.addEventListener('abort', this.#abort, { once: true });
        resolve();
      });
    });
  }

  address(): AddressInfo {
    return this.#server.address() as AddressInfo;
  }

  stats(): ServerStats {
    return this.#slots.counts();
  }

  close(options: { grace?: number } = {}): Promise<void> {
    const grace = checkTimeout(options.grace, 'grace');
    this.#closed ??= this.#close();
    if (grace !== undefined) this.#endAfter(grace);
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  readonly #abort = () => {
    void this.close({ grace: 0 });
  };

  #close(): Promise<void> {
    this.#signal?.removeEventListener('abort', this.#abort);
    this.#server.close();
    this.#unwatch();
    return this.#slots.close(({ socket }) => {
      reset(socket);
    });
  }

  #endAfter(grace: number): void {
    const end = () => {
      // Sockets that are bridged end here, and their handlers read an end; what has not begun or does not heed it is stopped.
      for (const socket of this.#sockets) socket.destroy();
      this.#ending.abort(new Error(`The server was closed, and its connections ended after ${String(grace)} ms`));
    };
    if (grace === 0) end();
    else setTimeout(end, grace).unref();
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('close', () => {
      this.#sockets.delete(socket);
    });
    // A peer that resets its connection is no error of this process; the handler sees it on its side.
    socket.on('error', ignore);
    // Asked for now: the system does not know it any more when the peer resets the connection while it waits.
    const { remoteAddress = '', remotePort = 0, remoteFamily = '' } = socket;
    const peer = { address: remoteAddress, port: remotePort, family: remoteFamily };
    if (!this.#slots.enter({ socket, peer })) reset(socket);
  }

  #serve(accepted: Accepted): void {
    const { socket, peer } = accepted;
    if (socket.destroyed) {
      this.#end(accepted, undefined);
      return;
    }
    try {
      const served = new ServedSocket(socket, this.#local);
      const future = this.#bounded.submit(this.#handler as (...args: unknown[]) => unknown, served, peer);
      future.addDoneCallback(() => {
        const outcome = future.outcome();
        this.#end(accepted, outcome?.status === 'rejected' ? outcome : undefined);
      });
    } catch (reason) {
      this.#end(accepted, { reason });
    }
  }

  #end({ socket, peer }: Accepted, failure: { reason: unknown } | undefined): void {
    if (failure === undefined) endServed(socket);
    else socket.destroy();
    this.#slots.release(failure === undefined ? 'completed' : 'failed');
    if (failure === undefined) return;
    tell(this.#onError, failure.reason, `${peer.address}:${String(peer.port)}`);
  }
}

/** The handler as a pool takes it, with the file of whoever called this package. @throws TypeError when it is no function */
export function pin<F>(executor: Executor, handler: F, owner: string): F {
  const pinned = new PinnedCallable(handler, owner);
  return executor instanceof WorkerPoolExecutor ? (pinned as F) : handler;
}

/** Checks a port; not everything of Node does. */
export function checkPort(port: unknown): number {
  const checked = checkCount(port, 'port', 0);
  if (checked > 65_535) throw new RangeError(`'port' must be at most 65535: received ${String(checked)}`);
  return checked;
}

/** Tells the user's callback of an error; one that throws is reported, and harms nothing here. */
export function tell<P>(
  onError: ((error: unknown, peer: P) => void) | undefined,
  error: unknown,
  peer: P,
  name = 'onError',
): void {
  try {
    onError?.(error, peer);
  } catch (thrown) {
    reportCallbackError(thrown, name);
  }
}

/** Has `listener` called when the executor may run more tasks at once than before. @returns what ends that */
export function whenResized(executor: Executor, listener: () => void): () => void {
  return executor instanceof WorkerPoolExecutor ? executor.whenResized(listener) : () => undefined;
}

/** How many tasks an executor runs at once. @throws what is wrong with an executor that a server cannot use */
export function slotsOf(executor: Executor): () => number {
  if (executor instanceof WorkerPoolExecutor) {
    executor.checkOpen();
    return () => executor.slots;
  }
  const { submit, with: bind } = (executor ?? {}) as { submit?: unknown; with?: unknown };
  if (typeof submit !== 'function') {
    throw new TypeError(`A pooled server needs an executor: received ${show(executor)}`);
  }
  if (typeof bind !== 'function') {
    throw new TypeError('A pooled server needs the executor itself, not what with() gives: it has options of its own');
  }
  return () => Infinity;
}

/** The room in the queue of an executor, which those take, too, who submit tasks beside its servers. */
export function roomOf(executor: Executor): Room | undefined {
  if (!(executor instanceof WorkerPoolExecutor)) return undefined;
  return {
    get open() {
      return executor.hasSpareRoom;
    },
    whenOpen: () => executor.ready(),
  };
}

/** The one address of a server; undefined when it has more, or is no server of TCP. */
function oneAddress(address: AddressInfo | string | null): AddressInfo | undefined {
  if (address === null || typeof address === 'string') return undefined;
  return isIP(address.address) === 0 || /^[0:.]*$/.test(address.address) ? undefined : address;
}

function ignore(): void {
  // Intentionally empty.
}
