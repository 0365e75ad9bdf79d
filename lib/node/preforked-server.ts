import type { AddressInfo } from 'node:net';
import { WorkerDiedError } from '../errors.js';
import { disregard, type Future } from '../future.js';
import { checkCount, checkFunction, checkSignal, readOptions, show } from '../options.js';
import type { AnyFunction } from '../callable.js';
import { ProcessPoolExecutor } from '../process.js';
import { checkTimeout } from '../timeouts.js';
import { type BoundAddress, bindAddress } from './address.js';
import { parallelism } from './host.js';
import { ListenHandle, type ProcessOptions } from './process-host.js';
import type { OwnAddress } from './preforked-guest.js';
import { noCounts, type ServerStats } from './slots.js';
import { checkPort, type PooledServer, tell } from './socket-server.js';

/** Options of servers whose processes are forked beforehand. */
export interface PreforkOptions {
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
  /** Processes, started before the first connection. @default the available parallelism */
  processes?: number | undefined;
  /** Closes the server and ends what it serves. */
  signal?: AbortSignal | undefined;
  /** Whether SIGTERM closes the server and SIGHUP reloads it. @default true */
  signals?: boolean | undefined;
  /** Handed to `child_process.fork`: `env`, `execArgv`, `cwd`, `stdio`. */
  workerOptions?: ProcessOptions | undefined;
  /** Told when a process has died; it is replaced. @default a warning */
  onWorkerError?: ((error: unknown) => void) | undefined;
}

/** A server whose processes were forked beforehand, each of which accepts connections by itself. */
export interface PreforkedServer extends PooledServer {
  /** Counters, now and since the start, of all processes: as they told them last, which is at most a tenth of a second ago. */
  stats(): ServerStats;
  /**
   * Replaces the processes one by one, each when its successor listens: their modules are loaded anew, and nothing fails.
   * Another call while one is under way begins anew with what is still to be replaced, and both end together.
   *
   * @returns when the old processes have ended what they serve
   * @throws what a process throws before it listens (rejects): those from before go on
   */
  reload(): Promise<void>;
}

/** How a process is told to end. */
export interface Ending {
  /** Aborted when it is to accept no more, and to end with what it serves. */
  drain: AbortSignal;
  /** Aborted when the whole server ends: nobody else serves clients that come back. */
  hurry: AbortSignal;
}

/** What one kind of preforked server does in its processes. */
export interface Serving {
  /** What the server is, in warnings and errors. */
  readonly name: string;
  /** What a process may be loading while the server is closed. */
  readonly loads: string;
  /** Called in each process before it serves. */
  readonly initializer?: AnyFunction | undefined;
  readonly initargs?: readonly unknown[] | undefined;
  /**
   * Has the one process of a pool serve, until it is told to end and all it serves has ended.
   *
   * @param where - what it listens on
   * @param report - to be told of its counts, for the first time when it listens
   */
  begin(
    executor: ProcessPoolExecutor,
    where: ListenHandle | OwnAddress,
    ending: Ending,
    report: (counts: ServerStats, address: AddressInfo) => void,
  ): Future<ServerStats>;
}

/** ms before a process is replaced that died early, but for the first in a row; doubled each time. */
const FIRST_BACKOFF_MS = 100;
const LONGEST_BACKOFF_MS = 5000;
/** ms that a process has to serve: what dies sooner has died early. */
const STEADY_MS = 1000;

/** One process that serves. */
interface Member {
  /** A pool of its own: the deaths of others are no reason not to start another. */
  executor: ProcessPoolExecutor;
  future: Future<ServerStats>;
  drain: AbortController;
  hurry: AbortController;
  /** After how many reloads it was started. */
  generation: number;
  counts: ServerStats;
  listening: Promise<void>;
  /** Since when it listens, on the clock of `performance`. */
  listensSince: number | undefined;
  /** Another one starts in its place already. */
  hasHeir: boolean;
  /** It was told to end. */
  leaving: boolean;
}

/**
 * Starts a server of processes that accept by themselves.
 *
 * @returns the server, once every process listens
 * @throws TypeError or RangeError when an option is nonsense (rejects)
 * @throws what a process throws before it listens (rejects)
 */
export async function prefork(serving: Serving, options: Partial<PreforkOptions>): Promise<PreforkedServer> {
  const server = new ProcessServer(serving, options);
  try {
    await server.start();
  } catch (error) {
    await server.close({ grace: 0 });
    throw error;
  }
  return server;
}

class ProcessServer implements PreforkedServer {
  readonly #serving: Serving;
  readonly #processes: number;
  readonly #address: { port: number; host: string | undefined };
  readonly #reusePort: boolean;
  readonly #workerOptions: ProcessOptions | undefined;
  readonly #signal: AbortSignal | undefined;
  readonly #signals: boolean;
  readonly #onWorkerError: ((error: unknown) => void) | undefined;
  readonly #members = new Set<Member>();
  /** What processes that are gone had counted. */
  readonly #past: ServerStats = noCounts();
  /** Bound here, where it outlives the processes; they listen on it and accept. */
  #bound: BoundAddress | undefined;
  #listensOn: AddressInfo | undefined;
  #closing: Promise<void> | undefined;
  /** Successors are started, until the last one listens. */
  #replacing: Promise<unknown> = Promise.resolve();
  /** What the last call of `reload` has returned. */
  #reloading: Promise<unknown> = Promise.resolve();
  /** How often it was reloaded. */
  #generation = 0;
  /** ms before the next process is replaced that dies early. */
  #backoff = 0;
  #started = 0;

  constructor(serving: Serving, options: Partial<PreforkOptions>) {
    this.#serving = serving;
    this.#processes = checkCount(options.processes ?? parallelism(), 'processes', 1);
    this.#address = { port: checkPort(options.port), host: checkHost(options.host) };
    this.#reusePort = checkReusePort(options.reusePort);
    this.#signals = checkSignals(options.signals);
    checkFunction(options.onWorkerError, 'onWorkerError');
    this.#onWorkerError = options.onWorkerError;
    checkSignal(options.signal);
    this.#signal = options.signal;
    this.#workerOptions = options.workerOptions;
  }

  async start(): Promise<void> {
    const signal = this.#signal;
    signal?.throwIfAborted();
    let abort!: () => void;
    // A module may never come to an end.
    const aborted = new Promise<never>((_resolve, reject) => {
      abort = () => {
        reject(signal?.reason as Error);
      };
    });
    signal?.addEventListener('abort', abort);
    try {
      await Promise.race([this.#startAll(), aborted]);
    } finally {
      signal?.removeEventListener('abort', abort);
    }
    signal?.addEventListener('abort', this.#abort, { once: true });
    if (this.#signals) {
      process.on('SIGTERM', this.#onTerm);
      process.on('SIGHUP', this.#onHup);
    }
  }

  async #startAll(): Promise<void> {
    // The first process chooses the port, if anybody may.
    if (this.#reusePort) await this.#add().listening;
    else {
      const bound = await bindAddress(this.#address.port, this.#address.host);
      if (this.#closing !== undefined) {
        bound.handle.close();
        return;
      }
      this.#bound = bound;
      this.#listensOn = bound.address;
    }
    const members = Array.from({ length: this.#vacancies }, () => this.#add());
    await Promise.all(members.map(({ listening }) => listening));
  }

  address(): AddressInfo {
    return this.#listensOn as AddressInfo;
  }

  stats(): ServerStats {
    const sum = { ...this.#past, active: 0, waiting: 0 };
    for (const { counts } of this.#members) {
      for (const key of Object.keys(sum) as (keyof ServerStats)[]) sum[key] += counts[key];
    }
    return sum;
  }

  reload(): Promise<void> {
    if (this.#closing !== undefined) return Promise.reject(new Error(`The ${this.#serving.name} was closed`));
    const generation = ++this.#generation;
    // What does not listen yet may have loaded what was there before, or hang in it. It serves nobody.
    for (const member of this.#members) if (member.listensSince === undefined) this.#dismiss(member);
    const replacing = this.#replacing.then(() => this.#replaceAll(generation));
    // Not until the old ones have ended: a client may stay for hours.
    this.#replacing = replacing.catch(() => undefined);
    const reloading = replacing.then((ends) => Promise.all(ends));
    this.#reloading = reloading;
    return reloading.then(() => undefined);
  }

  close(options?: { grace?: number }): Promise<void> {
    const grace = checkTimeout(readOptions(options, 'close').grace, 'grace');
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

  readonly #abort = () => {
    void this.close({ grace: 0 });
  };

  readonly #onTerm = () => {
    void this.close();
  };

  readonly #onHup = () => {
    if (this.#closing !== undefined) return;
    this.reload().catch((error: unknown) => {
      this.#report(error, 'could not be reloaded, and goes on as it is');
    });
  };

  #add(): Member {
    const drain = new AbortController();
    const hurry = new AbortController();
    let listening!: () => void;
    const { initializer, initargs, loads } = this.#serving;
    const executor = new ProcessPoolExecutor({
      maxWorkers: 1,
      // One task serves as long as the process lives. The others are short.
      concurrentTasksPerWorker: 2,
      threadNamePrefix: `${this.#serving.name.replace(/\W+/g, '-')}-${String(this.#started++)}`,
      workerOptions: this.#workerOptions,
      initializer,
      initargs,
    });
    const member: Member = {
      executor,
      future: undefined as unknown as Future<ServerStats>,
      drain,
      hurry,
      generation: this.#generation,
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
      this.#listensOn ??= address;
      listening();
      if (this.#members.has(member)) member.counts = counts;
    };
    const where = this.#reusePort
      ? { port: this.#listensOn?.port ?? this.#address.port, host: this.#address.host }
      : new ListenHandle(this.#bound?.handle);
    member.future = this.#serving.begin(executor, where, { drain: drain.signal, hurry: hurry.signal }, report);
    disregard(member.future);
    this.#members.add(member);
    const ended = new Promise<void>((_resolve, reject) => {
      member.future.addDoneCallback((future) => {
        const outcome = future.outcome();
        if (outcome?.status === 'fulfilled') member.counts = outcome.value;
        this.#remove(member);
        void executor.shutdown({ cancelFutures: true });
        if (member.listensSince === undefined) {
          const closed = new Error(`The server was closed before its process had loaded ${loads}`);
          const failed = outcome?.status === 'rejected' && this.#closing === undefined && !member.leaving;
          reject(failed ? outcome.reason : closed);
        } else if (outcome?.status === 'rejected' && !member.leaving)
          this.#onDeath(this.#inOwnWords(outcome.reason), member.listensSince);
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

  /** Processes that are wanted beside those that serve, or will. One that has an heir leaves its place to that. */
  get #vacancies(): number {
    let vacancies = this.#processes;
    for (const { leaving, hasHeir } of this.#members) if (!leaving && !hasHeir) vacancies--;
    return vacancies;
  }

  /**
   * A process has died, or could not be started.
   *
   * @param listensSince - undefined when it died before it listened
   */
  #onDeath(reason: unknown, listensSince: number | undefined): void {
    if (this.#closing !== undefined) return;
    this.#report(reason, 'lost a process, which is replaced');
    if (this.#vacancies <= 0) return;
    if (listensSince !== undefined && performance.now() - listensSince >= STEADY_MS) this.#backoff = 0;
    const delay = this.#backoff;
    this.#backoff = Math.min(LONGEST_BACKOFF_MS, Math.max(FIRST_BACKOFF_MS, 2 * delay));
    setTimeout(() => {
      if (this.#closing !== undefined || this.#vacancies <= 0) return;
      const member = this.#add();
      member.listening.catch((error: unknown) => {
        if (!member.leaving) this.#onDeath(error, undefined);
      });
    }, delay);
  }

  /** A process was one task of a pool; that such can be tried again is nothing to those who have a server. */
  #inOwnWords(reason: unknown): unknown {
    if (!(reason instanceof WorkerDiedError)) return reason;
    const { exitCode, signal } = reason;
    const how = signal === undefined ? `with exit code ${String(exitCode)}` : `by ${signal}`;
    return new WorkerDiedError(`A process of the ${this.#serving.name} died ${how}`, reason);
  }

  /** Ends a process that does not serve yet. */
  #dismiss(member: Member): void {
    member.leaving = true;
    void member.executor.killWorkers();
  }

  /**
   * Replaces all processes of earlier generations.
   *
   * @returns what is left to wait for: the ends of the old ones
   */
  async #replaceAll(generation: number): Promise<Promise<unknown>[]> {
    const ends: Promise<unknown>[] = [];
    try {
      for (const old of [...this.#members]) {
        if (this.#closing !== undefined || generation !== this.#generation) break;
        if (old.leaving || !this.#members.has(old)) continue;
        await this.#replace(old);
        ends.push(old.executor.shutdown());
      }
      // In place of those that had died.
      while (this.#closing === undefined && generation === this.#generation && this.#vacancies > 0)
        await this.#add().listening;
    } catch (error) {
      if (generation === this.#generation) throw error;
    }
    // A later call has taken over.
    if (generation !== this.#generation) ends.push(this.#reloading);
    return ends;
  }

  async #replace(old: Member): Promise<void> {
    // Should it die meanwhile, this one takes its place.
    old.hasHeir = true;
    const heir = this.#add();
    try {
      await heir.listening;
    } catch (error) {
      old.hasHeir = false;
      if (!heir.leaving && !this.#members.has(old)) this.#onDeath(error, undefined);
      throw error;
    }
    old.leaving = true;
    old.drain.abort();
  }

  async #close(): Promise<void> {
    this.#signal?.removeEventListener('abort', this.#abort);
    for (const { listensSince, drain, hurry, executor } of this.#members) {
      if (listensSince !== undefined) {
        drain.abort();
        hurry.abort();
      }
      // It serves nobody, and may not have been sent the address that is let go now.
      else void executor.killWorkers();
    }
    this.#bound?.handle.close();
    await Promise.all([...this.#members].map(({ executor }) => executor.shutdown()));
    // Not before: a signal that comes once more, to all of a group for instance, is not to end this process while it drains.
    process.off('SIGTERM', this.#onTerm);
    process.off('SIGHUP', this.#onHup);
  }

  #report(error: unknown, what: string): void {
    if (this.#onWorkerError !== undefined) tell(this.#onWorkerError, error, undefined, 'onWorkerError');
    else process.emitWarning(`The ${this.#serving.name} ${what}: ${String(error)}`, 'WorkerError');
  }
}

function checkHost(given: unknown): string | undefined {
  if (given === undefined || typeof given === 'string') return given;
  throw new TypeError(`'host' must be a string: received ${show(given)}`);
}

function checkSignals(given: unknown): boolean {
  if (given === undefined || typeof given === 'boolean') return given ?? true;
  throw new TypeError(`'signals' must be a boolean: received ${show(given)}`);
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
