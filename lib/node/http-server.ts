import { lookup } from 'node:dns/promises';
import net, { type AddressInfo } from 'node:net';
import { constants as osConstants } from 'node:os';
import { pathToFileURL } from 'node:url';
import { getSystemErrorName } from 'node:util';
import { proxy } from '../comlink.js';
import { isRecursion, tasksFrom } from '../callable.js';
import { disregard, type Future } from '../future.js';
import { checkCount, checkDuration, checkFunction, readOptions, show } from '../options.js';
import { ProcessPoolExecutor } from '../process.js';
import { checkTimeout } from '../timeouts.js';
import { parallelism } from './host.js';
import type * as HttpGuest from './http-guest.js';
import { ListenHandle, type ProcessOptions } from './process-host.js';
import { noCounts, type ServerStats } from './slots.js';
import { checkPort, type PooledServer, tell } from './socket-server.js';

/** Options of {@link serveHttp}. */
export interface HttpServerOptions {
  /** The port to listen on; 0 for any. */
  port: number;
  /** The address to listen on. @default all addresses */
  host?: string | undefined;
  /** Connections that the operating system may hold ready for the processes. @default 1024 */
  backlog?: number | undefined;
  /**
   * Whether each process has a queue of connections of its own (`SO_REUSEPORT`), among which the operating system spreads
   * them evenly, instead of one that all share. Connections that wait in the queue of a process that ends or dies are
   * reset, also by `reload`. Needs Node 23.1. @default false
   */
  reusePort?: boolean | undefined;
  /** Processes, started before the first request. @default the available parallelism */
  processes?: number | undefined;
  /** Requests that a process handles at once; further ones wait in line. @default 64 */
  concurrentTasksPerWorker?: number | undefined;
  /** Requests that may wait in line in each process; further ones are answered with 503 and Retry-After. @default 1024 */
  maxPending?: number | undefined;
  /** ms that a client has for the headers of a request: `headersTimeout` of node:http. @default 60_000 */
  headersTimeout?: number | undefined;
  /** ms that a client has for a whole request: `requestTimeout` of node:http. @default 300_000 */
  requestTimeout?: number | undefined;
  /** ms that a connection without a request is kept: `keepAliveTimeout` of node:http. @default 5_000 */
  keepAliveTimeout?: number | undefined;
  /** Bytes that the headers of a request may take: `maxHeaderSize` of node:http. @default 16_384 */
  maxHeaderSize?: number | undefined;
  /** Whether SIGTERM closes the server and SIGHUP reloads it. @default true */
  signals?: boolean | undefined;
  /** Handed to `child_process.fork`: `env`, `execArgv`, `cwd`, `stdio`. */
  workerOptions?: ProcessOptions | undefined;
  /** Told when a process has died; it is replaced. @default a warning */
  onWorkerError?: ((error: unknown) => void) | undefined;
}

/** A preforked HTTP server. */
export interface PooledHttpServer extends PooledServer {
  /** Counters, now and since the start, of all processes: as they told them last, which is at most a tenth of a second ago. */
  stats(): ServerStats;
  /** Replaces the processes one by one, each when its successor listens: the application is loaded anew, and no request fails. */
  reload(): Promise<void>;
}

/** ms before a process is replaced that died early, but for the first in a row; doubled each time. */
const FIRST_BACKOFF_MS = 100;
const LONGEST_BACKOFF_MS = 5000;
/** ms that a process has to serve: what dies sooner has died early. */
const STEADY_MS = 1000;

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
export async function serveHttp(app: URL | string, options: HttpServerOptions): Promise<PooledHttpServer> {
  const server = new HttpServer(app, options);
  try {
    await server.start();
  } catch (error) {
    await server.close({ grace: 0 });
    throw error;
  }
  return server;
}

const guest = tasksFrom<typeof HttpGuest>(new URL('../bundle/http-guest.js', import.meta.url));

/** One process that serves. */
interface Member {
  /** A pool of its own: the deaths of others are no reason not to start another. */
  executor: ProcessPoolExecutor;
  future: Future<ServerStats>;
  drain: AbortController;
  counts: ServerStats;
  listening: Promise<void>;
  /** Since when it listens, on the clock of `performance`. */
  listensSince: number | undefined;
  /** Another one starts in its place already. */
  hasHeir: boolean;
  /** It was told to end. */
  leaving: boolean;
}

class HttpServer implements PooledHttpServer {
  readonly #app: string;
  readonly #processes: number;
  readonly #settings: HttpGuest.Settings;
  readonly #address: { port: number; host: string | undefined };
  readonly #reusePort: boolean;
  readonly #workerOptions: ProcessOptions | undefined;
  readonly #signals: boolean;
  readonly #onWorkerError: ((error: unknown) => void) | undefined;
  readonly #members = new Set<Member>();
  /** What processes that are gone had counted. */
  readonly #past: ServerStats = noCounts();
  #handle: { close(): void } | undefined;
  #bound: AddressInfo | undefined;
  #closing: Promise<void> | undefined;
  #reloading: Promise<void> = Promise.resolve();
  /** ms before the next process is replaced that dies early. */
  #backoff = 0;
  #started = 0;

  constructor(app: URL | string, given: HttpServerOptions) {
    const options = readOptions(given, 'serveHttp');
    this.#app = toUrl(app);
    if (isRecursion(this.#app)) {
      throw new Error(
        `serveHttp was called for ${this.#app} while a process loads that to serve it, so each process would start others. ` +
          'Put the application in a module of its own, without this call',
      );
    }
    this.#processes = checkCount(options.processes ?? parallelism(), 'processes', 1);
    this.#address = { port: checkPort(options.port), host: options.host };
    this.#reusePort = checkReusePort(options.reusePort);
    this.#signals = options.signals ?? true;
    checkFunction(options.onWorkerError, 'onWorkerError');
    this.#onWorkerError = options.onWorkerError;
    this.#settings = {
      backlog: checkCount(options.backlog ?? 1024, 'backlog', 1),
      concurrency: checkCount(options.concurrentTasksPerWorker ?? 64, 'concurrentTasksPerWorker', 1, true),
      maxPending: checkCount(options.maxPending ?? 1024, 'maxPending', 0, true),
      headersTimeout: checkDuration(options.headersTimeout ?? 60_000, 'headersTimeout'),
      requestTimeout: checkDuration(options.requestTimeout ?? 300_000, 'requestTimeout'),
      keepAliveTimeout: checkDuration(options.keepAliveTimeout ?? 5000, 'keepAliveTimeout'),
      maxHeaderSize: checkCount(options.maxHeaderSize ?? 16_384, 'maxHeaderSize', 1),
    };
    this.#workerOptions = options.workerOptions;
  }

  async start(): Promise<void> {
    // The first process chooses the port, if anybody may.
    if (this.#reusePort) await this.#add().listening;
    else await this.#listen();
    const members = Array.from({ length: this.#processes - this.#members.size }, () => this.#add());
    await Promise.all(members.map(({ listening }) => listening));
    if (this.#signals) {
      process.on('SIGTERM', this.#onTerm);
      process.on('SIGHUP', this.#onHup);
    }
  }

  address(): AddressInfo {
    return this.#bound as AddressInfo;
  }

  stats(): ServerStats {
    const sum = { ...this.#past, active: 0, waiting: 0 };
    for (const { counts } of this.#members) {
      for (const key of Object.keys(sum) as (keyof ServerStats)[]) sum[key] += counts[key];
    }
    return sum;
  }

  reload(): Promise<void> {
    const next = this.#reloading.then(() => this.#replaceAll());
    this.#reloading = next.catch(() => undefined);
    return next;
  }

  close(options: { grace?: number } = {}): Promise<void> {
    const grace = checkTimeout(options.grace, 'grace');
    // In a moment: all that ends by it is to see that it is closing.
    this.#closing ??= Promise.resolve().then(() => this.#close());
    if (grace !== undefined) {
      setTimeout(() => {
        for (const { executor } of this.#members) void executor.killWorkers();
      }, grace).unref();
    }
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  readonly #onTerm = () => {
    void this.close();
  };

  readonly #onHup = () => {
    this.reload().catch((error: unknown) => {
      this.#report(error);
    });
  };

  /** Binds the address here, where it outlives the processes; they listen on it and accept. */
  async #listen(): Promise<void> {
    const { port, host } = this.#address;
    const create = (net as unknown as { _createServerHandle: CreateHandle })._createServerHandle;
    const candidates: [address: string | null, family: 4 | 6][] =
      host === undefined
        ? [
            ['::', 6],
            ['0.0.0.0', 4],
          ]
        : [await addressOf(host)];
    let failure = 0;
    for (const [address, family] of candidates) {
      const handle = create(address, port, family, -1);
      if (typeof handle === 'number') {
        failure = handle;
        continue;
      }
      const bound = {} as AddressInfo;
      handle.getsockname(bound);
      // An address in use is told only to who listens; a process would listen on any other port.
      if (port !== 0 && bound.port !== port) {
        handle.close();
        failure = -osConstants.errno.EADDRINUSE;
        continue;
      }
      this.#handle = handle;
      this.#bound = bound;
      return;
    }
    const where = `${host ?? '*'}:${String(port)}`;
    const code = getSystemErrorName(failure);
    throw Object.assign(new Error(`Cannot listen on ${where}: ${code}`), {
      code,
      port,
      address: host,
    });
  }

  #add(): Member {
    const drain = new AbortController();
    let listening!: () => void;
    const executor = new ProcessPoolExecutor({
      maxWorkers: 1,
      threadNamePrefix: `http-${String(this.#started++)}`,
      workerOptions: this.#workerOptions,
    });
    const member: Member = {
      executor,
      future: undefined as unknown as Future<ServerStats>,
      drain,
      counts: noCounts(),
      listening: new Promise((resolve) => {
        listening = resolve;
      }),
      listensSince: undefined,
      hasHeir: false,
      leaving: false,
    };
    const report = (counts: ServerStats, address: AddressInfo) => {
      member.listensSince ??= performance.now();
      this.#bound ??= address;
      listening();
      if (this.#members.has(member)) member.counts = counts;
    };
    member.future = executor.submit(
      guest.serve,
      this.#reusePort
        ? { port: this.#bound?.port ?? this.#address.port, host: this.#address.host }
        : (new ListenHandle(this.#handle) as never),
      this.#app,
      this.#settings,
      drain.signal,
      proxy(report) as never,
    );
    disregard(member.future);
    this.#members.add(member);
    const ended = new Promise<void>((_resolve, reject) => {
      member.future.addDoneCallback((future) => {
        const outcome = future.outcome();
        if (outcome?.status === 'fulfilled') member.counts = outcome.value;
        this.#remove(member);
        void executor.shutdown();
        if (member.listensSince === undefined) {
          const closed = new Error('The server was closed before its process had loaded the application');
          reject(outcome?.status === 'rejected' && this.#closing === undefined ? outcome.reason : closed);
        } else if (outcome?.status === 'rejected' && !member.leaving) {
          if (member.hasHeir) this.#report(outcome.reason);
          else this.#replaceDead(outcome.reason, member.listensSince);
        }
      });
    });
    member.listening = Promise.race([member.listening, ended]);
    member.listening.catch(() => undefined);
    return member;
  }

  #remove(member: Member): void {
    this.#members.delete(member);
    const { accepted, refused, completed, failed, active, waiting } = member.counts;
    this.#past.accepted += accepted;
    this.#past.refused += refused;
    this.#past.completed += completed;
    // What a process that died had in hand has failed.
    this.#past.failed += failed + active + waiting;
  }

  /** @param listensSince - undefined when it died before it listened */
  #replaceDead(reason: unknown, listensSince: number | undefined): void {
    if (this.#closing !== undefined) return;
    this.#report(reason);
    if (listensSince !== undefined && performance.now() - listensSince >= STEADY_MS) this.#backoff = 0;
    const delay = this.#backoff;
    this.#backoff = Math.min(LONGEST_BACKOFF_MS, Math.max(FIRST_BACKOFF_MS, 2 * delay));
    setTimeout(() => {
      if (this.#closing !== undefined) return;
      this.#add().listening.catch((error: unknown) => {
        this.#replaceDead(error, undefined);
      });
    }, delay);
  }

  async #replaceAll(): Promise<void> {
    const ends: Promise<void>[] = [];
    for (const old of [...this.#members]) {
      if (this.#closing !== undefined || !this.#members.has(old)) continue;
      // Should it die meanwhile, this one takes its place.
      old.hasHeir = true;
      try {
        await this.#add().listening;
      } catch (error) {
        old.hasHeir = false;
        if (!this.#members.has(old)) this.#replaceDead(error, undefined);
        throw error;
      }
      old.leaving = true;
      old.drain.abort();
      // Not waited for before the next one: a client may stay for hours.
      ends.push(old.executor.shutdown());
    }
    await Promise.all(ends);
  }

  async #close(): Promise<void> {
    process.off('SIGTERM', this.#onTerm);
    process.off('SIGHUP', this.#onHup);
    for (const { listensSince, drain, executor } of this.#members) {
      if (listensSince !== undefined) drain.abort();
      // It serves nobody, and may not have been sent the address that is let go now.
      else void executor.killWorkers();
    }
    this.#handle?.close();
    await Promise.all([...this.#members].map(({ executor }) => executor.shutdown()));
  }

  #report(error: unknown): void {
    if (this.#onWorkerError !== undefined) tell(this.#onWorkerError, error, undefined);
    else process.emitWarning(`A process of the HTTP server died and is replaced: ${String(error)}`, 'WorkerError');
  }
}

/** As cluster does it; there is no public way to bind without accepting. */
type CreateHandle = (
  address: string | null,
  port: number,
  family: 4 | 6,
  fd: number,
) => number | { close(): void; getsockname(into: object): void };

/** The address that a host name stands for. @throws what the look-up throws (rejects) */
async function addressOf(host: string): Promise<[address: string, family: 4 | 6]> {
  // As most clients take it, wherever the system's own table puts it.
  if (host === 'localhost') return ['127.0.0.1', 4];
  const { address, family } = await lookup(host);
  return [address, family === 6 ? 6 : 4];
}

function checkReusePort(given: unknown): boolean {
  if (given === undefined || given === false) return false;
  if (given !== true) throw new TypeError(`'reusePort' must be a boolean: received ${show(given)}`);
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major < 23 || (major === 23 && minor < 1)) {
    throw new RangeError(`'reusePort' needs Node 23.1: this is ${process.version}`);
  }
  return true;
}

function toUrl(app: unknown): string {
  if (app instanceof URL) return app.href;
  if (typeof app !== 'string') throw new TypeError(`serveHttp needs the URL of a module: received ${show(app)}`);
  // A path may have in it what means something in a URL; one of Windows begins as a URL does.
  return URL.canParse(app) && !/^[A-Za-z]:[\\/]/.test(app) ? app : pathToFileURL(app).href;
}
