import { pathToFileURL } from 'node:url';
import { isRecursion, tasksFrom } from '../callable.js';
import { proxy } from '../comlink.js';
import { checkCount, checkDuration, readOptions, show } from '../options.js';
import type * as HttpGuest from './http-guest.js';
import { prefork, type PreforkedServer, type PreforkOptions } from './preforked-server.js';

/** Options of {@link serveHttp}. */
export interface HttpServerOptions extends PreforkOptions {
  /** Requests that a process handles at once; further ones wait in line. @default 64 */
  concurrentTasksPerWorker?: number | undefined;
  /** Requests that may wait in line in each process; further ones are answered with 503 and Retry-After. @default 1024 */
  maxPending?: number | undefined;
  /**
   * ms that a client has for the headers of a request: `headersTimeout` of node:http. At most `requestTimeout`; 0 or
   * `Infinity` for no limit. @default 60_000, or `requestTimeout` if that is less
   */
  headersTimeout?: number | undefined;
  /** ms that a client has for a whole request: `requestTimeout` of node:http; 0 or `Infinity` for no limit. @default 300_000 */
  requestTimeout?: number | undefined;
  /**
   * ms that a connection without a request is kept: `keepAliveTimeout` of node:http; 0 or `Infinity` for ever. So long
   * a process that `reload` has replaced stays for clients that may come back by it. @default 5_000
   */
  keepAliveTimeout?: number | undefined;
  /** Bytes that the headers of a request may take: `maxHeaderSize` of node:http. @default 16_384 */
  maxHeaderSize?: number | undefined;
}

const guest = tasksFrom<typeof HttpGuest>(new URL('../bundle/http-guest.js', import.meta.url));

/**
 * Serves HTTP from processes forked beforehand, each of which accepts connections by itself: nothing passes through this
 * process. A process that dies is replaced, at once; when it has served for less than a second, the next such ones after
 * 100 ms, and twice as long each time, up to 5 s.
 *
 * @param app - the module of the application; its default export is what Node users have: a request listener, an Express,
 * Koa, Fastify or Hono application, or a fetch handler `(request: Request) => Response`
 * @param options - where to listen, how many processes, and bounds
 * @returns the server, once every process listens
 * @throws TypeError or RangeError when an option is nonsense
 * @throws what the application's module throws when it is loaded (rejects)
 *
 * @example
 * ```ts
 * import { serveHttp } from 'concurrent-futures/server';
 *
 * // app.js: export default (request, response) => response.end('hello');
 * const server = await serveHttp(new URL('./app.js', import.meta.url), { port: 8080, processes: 2 });
 * console.log(server.address().port);
 * ```
 */
export async function serveHttp(app: URL | string, options: HttpServerOptions): Promise<PreforkedServer> {
  const given = readOptions(options, 'serveHttp');
  const url = toUrl(app);
  if (isRecursion(url)) {
    throw new Error(
      `serveHttp was called for ${url} while a process loads that to serve it, so each process would start others. ` +
        'Put the application in a module of its own, without this call',
    );
  }
  const settings: HttpGuest.Settings = {
    backlog: checkCount(given.backlog ?? 1024, 'backlog', 1),
    concurrency: checkCount(given.concurrentTasksPerWorker ?? 64, 'concurrentTasksPerWorker', 1, true),
    maxPending: checkCount(given.maxPending ?? 1024, 'maxPending', 0, true),
    ...checkLimits(given),
    keepAliveTimeout: toNodeTimeout(given.keepAliveTimeout ?? 5000, 'keepAliveTimeout'),
    maxHeaderSize: checkCount(given.maxHeaderSize ?? 16_384, 'maxHeaderSize', 1),
  };
  return await prefork(
    {
      name: 'HTTP server',
      loads: 'the application',
      begin: (executor, where, { drain, hurry }, report) =>
        executor.submit(guest.serve, where as never, url, settings, drain, hurry, proxy(report) as never),
    },
    given,
  );
}

function toUrl(app: unknown): string {
  if (app instanceof URL) return app.href;
  if (typeof app !== 'string') throw new TypeError(`serveHttp needs the URL of a module: received ${show(app)}`);
  // A path may have in it what means something in a URL; one of Windows begins as a URL does.
  return URL.canParse(app) && !/^[A-Za-z]:[\\/]/.test(app) ? app : pathToFileURL(app).href;
}

/** Node refuses headers that may take longer than their request. */
function checkLimits(given: Partial<HttpServerOptions>): { headersTimeout: number; requestTimeout: number } {
  const requestTimeout = toNodeTimeout(given.requestTimeout ?? 300_000, 'requestTimeout');
  const most = requestTimeout === 0 ? Infinity : requestTimeout;
  const headersTimeout = toNodeTimeout(given.headersTimeout ?? Math.min(60_000, most), 'headersTimeout');
  if (headersTimeout > most) {
    throw new RangeError(
      `'headersTimeout' must be at most 'requestTimeout', which is ${String(most)} ms: received ${show(given.headersTimeout)}`,
    );
  }
  return { headersTimeout, requestTimeout };
}

/** Most ms of a timer of Node's. */
const MOST_MS = 2 ** 31 - 1;

/** Node takes whole ms, and 0 for what has no limit. */
function toNodeTimeout(value: unknown, name: string): number {
  const ms = checkDuration(value, name);
  return ms === Infinity ? 0 : Math.min(Math.ceil(ms), MOST_MS);
}
