import { createSocket, type RemoteInfo, type Socket, type SocketType } from 'node:dgram';
import type { AddressInfo } from 'node:net';
import type { Executor } from '../executor.js';
import { checkCount, checkDuration, checkFunction, checkSignal, readOptions, show } from '../options.js';
import { checkTimeout } from '../timeouts.js';
import { checkPort, pin, type PooledServer, roomOf, slotsOf, tell, whenResized } from './socket-server.js';
import { type ServerStats, Slots } from './slots.js';

/**
 * Handles one datagram, in a worker. What it returns, a text or bytes, is sent back to where the datagram came from; nothing is
 * when it returns `undefined` or `null`.
 */
export type DatagramHandler = (message: Uint8Array, from: RemoteInfo) => unknown;

/** Options of {@link serveDatagrams}. */
export interface DatagramOptions {
  /** The port to listen on; 0 for any. */
  port: number;
  /** The address to listen on. @default all addresses */
  address?: string | undefined;
  /** The same, by the name that it has for other servers; `address` goes before it. */
  host?: string | undefined;
  /** @default 'udp4' */
  type?: SocketType | undefined;
  /** Datagrams that may wait for a place in the pool; further ones are dropped, as the network would. @default 1024 */
  maxPending?: number | undefined;
  /** ms that a datagram may be handled; past it, its handler is stopped. No limit by default. */
  timeout?: number | undefined;
  /** Closes the server and stops its handlers. */
  signal?: AbortSignal | undefined;
  /** Told of errors of handlers, and of answers that cannot be sent. @default nothing: the datagram gets no answer */
  onError?: ((error: unknown, from: RemoteInfo) => void) | undefined;
}

/** A pooled server of datagrams. */
export type PooledDatagramServer = PooledServer;

interface Datagram {
  message: Uint8Array;
  from: RemoteInfo;
}

/**
 * Serves datagrams (UDP) from a pool: each is one task. Descends from the UDP server of the thread-pool mix-in whose pool
 * grows and shrinks with its load; ours does by the executor's `minWorkers`, `minSpareWorkers` and `idleTimeout`.
 *
 * @param executor - the pool; it stays open when the server closes
 * @param handler - given as for `executor.submit`; called with the datagram and where it came from
 * @param options - where to listen, and bounds
 * @returns the server, once it listens
 * @throws TypeError or RangeError when an option is nonsense
 * @throws ExecutorShutdownError or BrokenExecutor when the pool takes no more tasks
 *
 * @example
 * ```ts
 * import { ThreadPoolExecutor } from 'concurrent-futures';
 * import { serveDatagrams } from 'concurrent-futures/server';
 *
 * const executor = new ThreadPoolExecutor(4, { minSpareWorkers: 1 });
 * await using server = await serveDatagrams(executor, (message: Uint8Array) => message, { port: 0, address: '127.0.0.1' });
 * console.log(server.stats().accepted); // 0
 * ```
 */
export async function serveDatagrams(
  executor: Executor,
  handler: DatagramHandler,
  options: DatagramOptions,
): Promise<PooledDatagramServer> {
  const given = readOptions(options, 'serveDatagrams');
  const { port, address, host, type = 'udp4' } = given;
  checkPort(port);
  const socket = createSocket(type);
  try {
    const server = new DatagramServer(executor, handler, socket, given);
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.bind(port, address ?? host, () => {
        socket.off('error', reject);
        // What fails from here on is one datagram, and those may be lost.
        socket.on('error', () => undefined);
        resolve();
      });
    });
    server.heedSignal();
    return server;
  } catch (error) {
    socket.close();
    throw error;
  }
}

class DatagramServer implements PooledDatagramServer {
  readonly #socket: Socket;
  readonly #slots: Slots<Datagram>;
  readonly #unwatch: () => void;
  readonly #ending = new AbortController();
  readonly #onError: DatagramOptions['onError'];
  readonly #signal: AbortSignal | undefined;
  #closed: Promise<void> | undefined;

  constructor(
    executor: Executor,
    handler: DatagramHandler,
    socket: Socket,
    { maxPending = 1024, timeout, signal, onError }: Partial<DatagramOptions>,
  ) {
    checkCount(maxPending, 'maxPending', 0, true);
    if (timeout !== undefined) checkDuration(timeout, 'timeout');
    checkSignal(signal);
    checkFunction(onError, 'onError');
    signal?.throwIfAborted();
    const places = slotsOf(executor);
    const pinned = pin(executor, handler, 'serveDatagrams');
    this.#socket = socket;
    this.#onError = onError;
    this.#signal = signal;
    const bounded = executor.with({ signal: this.#ending.signal, ...(timeout === undefined ? {} : { timeout }) });
    const begin = ({ message, from }: Datagram) => {
      const failed = (error: unknown) => {
        this.#fail(error, from);
      };
      try {
        bounded.submit(pinned, message, from).then((answer) => {
          this.#answer(answer, from);
        }, failed);
      } catch (error) {
        failed(error);
      }
    };
    this.#slots = new Slots(places, maxPending, begin, roomOf(executor));
    this.#unwatch = whenResized(executor, () => {
      this.#slots.fill();
    });
    socket.on('message', (message, from) => {
      // A copy of its own, because small buffers share a pool, all of which would be cloned.
      this.#slots.enter({ message: new Uint8Array(message), from });
    });
  }

  /** To be called when it listens. */
  heedSignal(): void {
    if (this.#signal?.aborted === true) this.#abort();
    this.#signal?.addEventListener('abort', this.#abort, { once: true });
  }

  address(): AddressInfo {
    return this.#socket.address();
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

  #endAfter(grace: number): void {
    const end = () => {
      this.#ending.abort(new Error(`The server was closed, and its tasks ended after ${String(grace)} ms`));
    };
    if (grace === 0) end();
    else setTimeout(end, grace).unref();
  }

  async #close(): Promise<void> {
    this.#signal?.removeEventListener('abort', this.#abort);
    this.#socket.removeAllListeners('message');
    this.#unwatch();
    await this.#slots.close(() => {
      // Who sent it asks again, or does not.
    });
    await new Promise<void>((resolve) => {
      this.#socket.close(resolve);
    });
  }

  #answer(answer: unknown, from: RemoteInfo): void {
    if (answer === undefined || answer === null) {
      this.#slots.release('completed');
      return;
    }
    // Whether it arrives nobody can know; but close() waits until it has left.
    const sent = (error: Error | null) => {
      if (error === null) this.#slots.release('completed');
      else this.#fail(error, from);
    };
    try {
      this.#socket.send(asDatagram(answer), from.port, from.address, sent);
    } catch (error) {
      // A datagram may come from a port to which none can be sent: 0.
      this.#fail(error, from);
    }
  }

  #fail(error: unknown, from: RemoteInfo): void {
    this.#slots.release('failed');
    tell(this.#onError, error, from);
  }
}

/** @throws TypeError for what is neither a text nor bytes */
function asDatagram(answer: unknown): string | NodeJS.ArrayBufferView {
  if (typeof answer === 'string') return answer;
  if (ArrayBuffer.isView(answer)) return answer as NodeJS.ArrayBufferView;
  if (answer instanceof ArrayBuffer) return new Uint8Array(answer);
  throw new TypeError(`The handler of a datagram must return a text, bytes or nothing: it returned ${show(answer)}`);
}
