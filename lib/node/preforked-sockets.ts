import { type AnyFunction, tasksFrom } from '../callable.js';
import { proxy } from '../comlink.js';
import { disregard } from '../future.js';
import { checkCount, checkDuration, checkFunction, readOptions } from '../options.js';
import { definitionOf } from '../pool/callables.js';
import { checkTimeout, setOwnTimeout, unref } from '../timeouts.js';
import { decodeError, type WireError } from '../wire/errors.js';
import { prefork, type PreforkedServer, type PreforkOptions } from './preforked-server.js';
import type * as SocketGuest from './socket-guest.js';
import { type SocketHandler, tell } from './socket-server.js';

/** Options of {@link serveSocketsPreforked}. */
export interface PreforkedSocketOptions extends PreforkOptions {
  /**
   * Connections that a process serves at once. With all its places taken it accepts no more, so that other processes do;
   * those that none has a place for wait, unread, with the operating system: as many as `backlog` says. With `reusePort` they
   * wait in the process that accepted them. @default 64
   */
  concurrentTasksPerWorker?: number | undefined;
  /** ms that a connection may be served; past it, it is closed, and its handler told by its signal. No limit by default. */
  timeout?: number | undefined;
  /** Told of errors of handlers, with the address of the peer. @default nothing: the connection is closed */
  onError?: ((error: unknown, peer: string) => void) | undefined;
  /** Called in each process before it listens, as that of an executor. */
  initializer?: AnyFunction | undefined;
  /** What it is called with. */
  initargs?: readonly unknown[] | undefined;
}

/** ms before a process is lent again what did not arrive. */
const LEND_AGAIN_MS = 100;

const guest = tasksFrom<typeof SocketGuest>(new URL('../bundle/socket-guest.js', import.meta.url));

/**
 * Serves sockets from processes forked beforehand, each of which accepts connections by itself: nothing passes through this
 * process, neither the bytes of a connection nor its handle. That makes it the fastest way to serve short connections.
 * `serveSockets` on a `ProcessPoolExecutor` takes a place in a pool for each connection, which other tasks may use, and
 * gives it to whichever process is free.
 * A process that dies is replaced, as by `serveHttp`; what it served is cut off and counts as failed.
 *
 * @param handler - given as for `executor.submit`; called with the socket and the address of the peer. `currentTask()` gives
 * it the number of the connection, the name of its process, and the signal that `timeout` aborts
 * @param options - where to listen, how many processes, and bounds
 * @returns the server, once every process listens
 * @throws TypeError or RangeError when an option is nonsense
 * @throws what the handler's module or `initializer` throws (rejects)
 *
 * @example
 * ```ts
 * import { serveSocketsPreforked } from 'concurrent-futures/server';
 * import type { Socket } from 'node:net';
 *
 * const echo = async (socket: Socket) => { for await (const chunk of socket) socket.write(chunk); };
 * await using server = await serveSocketsPreforked(echo, { port: 0, host: '127.0.0.1', processes: 2 });
 * console.log(server.address().port > 0); // true
 * ```
 */
export async function serveSocketsPreforked(
  handler: SocketHandler,
  options: PreforkedSocketOptions,
): Promise<PreforkedServer> {
  const owner = 'serveSocketsPreforked';
  const given = readOptions(options, owner);
  const definition = definitionOf(handler, owner);
  if (definition.kind === 'named' && definition.url === undefined) {
    throw new TypeError(
      `${owner} needs a handler that its processes find: '${definition.name}' is a function of a worker of your own`,
    );
  }
  const { onError, initializer, initargs } = given;
  checkFunction(onError, 'onError');
  const settings: SocketGuest.Settings = {
    backlog: checkCount(given.backlog ?? 1024, 'backlog', 1),
    concurrency: checkCount(given.concurrentTasksPerWorker ?? 64, 'concurrentTasksPerWorker', 1, true),
    timeout: checkTimeout(checkDuration(given.timeout ?? Infinity, 'timeout'), 'timeout') ?? Infinity,
  };
  const hear = (error: WireError, peer: string) => {
    tell(onError, decodeError(error), peer);
  };
  return await prefork(
    {
      name: 'socket server',
      loads: 'the handler',
      initializer,
      initargs,
      begin: (executor, where, { drain }, report) => {
        const lend = () => {
          // What it cannot have any more it does not need.
          if (drain.aborted || serving.done()) return;
          const lending = executor.submit(guest.lend, where);
          disregard(lending);
          lending.addDoneCallback(() => {
            // It may have had no file descriptor left for it. Without it, it would accept no more.
            if (lending.outcome()?.status === 'rejected') unref(setOwnTimeout(lend, LEND_AGAIN_MS));
          });
        };
        const serving = executor.submit(
          guest.serve,
          where,
          definition,
          settings,
          drain,
          proxy(report),
          proxy(lend),
          onError === undefined ? undefined : proxy(hear),
        );
        return serving;
      },
    },
    given,
  );
}
