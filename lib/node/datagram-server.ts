import { createSocket, type RemoteInfo, type Socket, type SocketType } from 'node:dgram';
import type { AddressInfo } from 'node:net';
import type { Executor } from '../executor.js';
import { checkCount, checkFunction, readOptions } from '../options.js';
import { checkTimeout } from '../timeouts.js';
import { checkPort, pin, type PooledServer, roomOf, slotsOf, tell, whenResized } from './socket-server.js';
import { type ServerStats, Slots } from './slots.js';

/** Handles one datagram, in a worker; what it returns, if anything, is sent back to where the datagram came from. */
export type DatagramHandler = (message: Uint8Array, from: RemoteInfo) => unknown;

/** Options of {@link serveDatagrams}. */
export interface DatagramOptions {
  /** The port to listen on; 0 for any. */
  port: number;
  /** The address to listen on. @default all addresses */
  address?: string | undefined;
  /** @default 'udp4' */
  type?: SocketType | undefined;
  /** Datagrams that may wait for a place in the pool; further ones are dropped, as the network would. @default 1024 */
  maxPending?: number | undefined;
  /** Told of errors of handlers. @default nothing: the datagram gets no answer */
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
  const { port, address, type = 'udp4', maxPending = 1024, onError } = readOptions(options, 'serveDatagrams');
  checkCount(maxPending, 'maxPending', 0, true);
  checkPort(port);
  const pinned = pin(executor, handler, 'serveDatagrams');
  checkFunction(onError, 'onError');
  const socket = createSocket(type);
  try {
    const server = new DatagramServer(executor, pinned, socket, maxPending, onError);
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.bind(port, address, () => {
        socket.off('error', reject);
        // What fails from here on is one datagram, and those may be lost.
        socket.on('error', () => undefined);
        resolve();
      });
    });
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
  #closed: Promise<void> | undefined;

  constructor(
    executor: Executor,
    handler: DatagramHandler,
    socket: Socket,
    maxPending: number,
    onError: DatagramOptions['onError'],
  ) {
    this.#socket = socket;
    const bounded = executor.with({ signal: this.#ending.signal });
    const begin = ({ message, from }: Datagram) => {
      const failed = (error: unknown) => {
        this.#slots.release('failed');
        tell(onError, error, from);
      };
      try {
        bounded.submit(handler, message, from).then((answer) => {
          if (typeof answer === 'string' || answer instanceof Uint8Array) this.#answer(answer, from);
          else this.#slots.release('completed');
        }, failed);
      } catch (error) {
        failed(error);
      }
    };
    this.#slots = new Slots(slotsOf(executor), maxPending, begin, roomOf(executor));
    this.#unwatch = whenResized(executor, () => {
      this.#slots.fill();
    });
    socket.on('message', (message, from) => {
      // A copy of its own, because small buffers share a pool, all of which would be cloned.
      this.#slots.enter({ message: new Uint8Array(message), from });
    });
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
    if (grace !== undefined) {
      setTimeout(() => {
        this.#ending.abort(new Error(`The server was closed, and its tasks ended after ${String(grace)} ms`));
      }, grace).unref();
    }
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#socket.removeAllListeners('message');
    this.#unwatch();
    await this.#slots.close(() => {
      // Who sent it asks again, or does not.
    });
    await new Promise<void>((resolve) => {
      this.#socket.close(resolve);
    });
  }

  #answer(answer: string | Uint8Array, { port, address }: RemoteInfo): void {
    const sent = () => {
      // A datagram may be lost; whoever sent the first one asks again. But close() waits until it has left.
      this.#slots.release('completed');
    };
    try {
      this.#socket.send(answer, port, address, sent);
    } catch {
      // A datagram may come from a port to which none can be sent: 0.
      sent();
    }
  }
}
