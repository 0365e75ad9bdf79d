import type { BrokenExecutor, Executor, Future } from 'concurrent-futures';
import { Gate, passGate, Tally } from './gate.js';
import { withWatchdog } from './watchdog.js';

/** The options that all pools share. */
export interface PoolOptions {
  maxWorkers?: number;
  minWorkers?: number;
  minSpareWorkers?: number;
  idleTimeout?: number;
  concurrentTasksPerWorker?: number;
  maxTasksPerWorker?: number;
  maxQueueSize?: number;
  threadNamePrefix?: string;
  initializer?: (...args: never[]) => unknown;
  initargs?: unknown[];
  onWorkerError?: (error: unknown) => void;
  /** A function only where the workers are threads. */
  worker?: URL | (() => object);
  workerOptions?: object;
}

/** An executor that has workers. */
export type Pool = Executor & {
  resize(size: { maxWorkers?: number; minWorkers?: number; minSpareWorkers?: number }): Promise<void>;
};

export type MakeExecutor = (options?: PoolOptions) => Pool;

/** In what the executors under test differ. */
export interface Capabilities {
  /** Whether a SharedArrayBuffer reaches the workers. */
  sharedMemory: boolean;
  /** Whether what kills a worker's process leaves the test alive. */
  ownProcess: boolean;
  /** What a pool that is broken for good rejects with. */
  BrokenPool: abstract new (...args: never[]) => BrokenExecutor;
  /** The module that exports this kind's `makeExecutor`, for scripts that run in a process of their own. */
  module: string;
}

/** Makes what a test needs and takes it down after the test. */
export class Bench {
  readonly #make: MakeExecutor;
  readonly #sharedMemory: boolean;
  readonly #pools: Pool[] = [];
  readonly #disposables: Disposable[] = [];

  constructor(make: MakeExecutor, sharedMemory: boolean) {
    this.#make = make;
    this.#sharedMemory = sharedMemory;
  }

  pool(options?: PoolOptions): Pool {
    const pool = this.#make(options);
    this.#pools.push(pool);
    return pool;
  }

  gate(): Gate {
    const gate = new Gate(this.#sharedMemory);
    this.#disposables.push(gate);
    return gate;
  }

  tally(size = 1): Tally {
    const tally = new Tally(this.#sharedMemory, size);
    this.#disposables.push(tally);
    return tally;
  }

  /** A pool of one worker that waits at the gate: whatever is submitted next is not begun before the gate opens. */
  async blocked(options?: PoolOptions): Promise<{ pool: Pool; gate: Gate; blocker: Future<number> }> {
    const pool = this.pool({ maxWorkers: 1, ...options });
    const gate = this.gate();
    const blocker = pool.submit(passGate, gate.token);
    await gate.arrived();
    return { pool, gate, blocker };
  }

  async takeDown(): Promise<void> {
    const pools = this.#pools.splice(0);
    const disposables = this.#disposables.splice(0);
    for (const disposable of disposables) if (disposable instanceof Gate) disposable.open();
    const outcomes = await Promise.allSettled(pools.map(endPool));
    for (const disposable of disposables) disposable[Symbol.dispose]();
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  }
}

async function endPool(pool: Pool): Promise<void> {
  try {
    await withWatchdog(pool.shutdown({ cancelFutures: true }), 5000, 'the shutdown after the test');
  } catch (error) {
    await withWatchdog(pool.terminateWorkers(), 5000, 'terminateWorkers() after a shutdown that failed');
    throw error;
  }
}

/** A bench for the tests of the enclosing `describe`. */
export function useBench(make: MakeExecutor, capabilities: Capabilities): Bench {
  const bench = new Bench(make, capabilities.sharedMemory);
  afterEach(() => bench.takeDown());
  return bench;
}
