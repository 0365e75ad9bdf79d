import type { AddressInfo } from 'node:net';
import { disregard, type Future } from '../future.js';
import { checkCount, checkFunction, checkSignal, show } from '../options.js';
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
  /** Replaces the processes one by one, each when its successor listens: their modules are loaded anew, and nothing fails. */
  reload(): Promise<void>;
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
   * Has the one process of a pool serve, until `drain` is aborted and all it serves has ended.
   *
   * @param where - what it listens on
   * @param report - to be told of its counts, for the first time when it listens
   */
  begin(
    executor: ProcessPoolExecutor,
    where: ListenHandle | OwnAddress,
    drain: AbortSignal,
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
  #reloading: Promise<void> = Promise.resolve();
  /** ms before the next process is replaced that dies early. */
  #backoff = 0;
  #started = 0;

  constructor(serving: Serving, options: Partial<PreforkOptions>) {
    this.#serving = serving;
    this.#processes = checkCount(options.processes ?? parallelism(), 'processes', 1);
    this.#address = { port: checkPort(options.port), host: options.host };
    this.#reusePort = checkReusePort(options.reusePort);
    this.#signals = options.signals ?? true;
    checkFunction(options.onWorkerError, 'onWorkerError');
    this.#onWorkerError = options.onWorkerError;
    checkSignal(options.signal);
    this.#signal = options.signal;
    this.#workerOptions = options.workerOptions;
  }

  async start(): Promise<void> {
    this.#signal?.throwIfAborted();
    // The first process chooses the port, if anybody may.
    if (this.#reusePort) await this.#add().listening;
    else {
      this.#bound = await bindAddress(this.#address.port, this.#address.host);
      this.#listensOn = this.#bound.address;
    }
    const members = Array.from({ length: this.#processes - this.#members.size }, () => this.#add());
    await Promise.all(members.map(({ listening }) => listening));
    this.#signal?.throwIfAborted();
    this.#signal?.addEventListener('abort', this.#abort, { once: true });
    if (this.#signals) {
      process.on('SIGTERM', this.#onTerm);
      process.on('SIGHUP', this.#onHup);
    }
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

  readonly #abort = () => {
    void this.close({ grace: 0 });
  };

  readonly #onTerm = () => {
    void this.close();
  };

  readonly #onHup = () => {
    this.reload().catch((error: unknown) => {
      this.#report(error);
    });
  };

  #add(): Member {
    const drain = new AbortController();
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
    member.future = this.#serving.begin(executor, where, drain.signal, report);
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
    this.#signal?.removeEventListener('abort', this.#abort);
    for (const { listensSince, drain, executor } of this.#members) {
      if (listensSince !== undefined) drain.abort();
      // It serves nobody, and may not have been sent the address that is let go now.
      else void executor.killWorkers();
    }
    this.#bound?.handle.close();
    await Promise.all([...this.#members].map(({ executor }) => executor.shutdown()));
  }

  #report(error: unknown): void {
    if (this.#onWorkerError !== undefined) tell(this.#onWorkerError, error, undefined, 'onWorkerError');
    else
      process.emitWarning(
        `A process of the ${this.#serving.name} died and is replaced: ${String(error)}`,
        'WorkerError',
      );
  }
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
