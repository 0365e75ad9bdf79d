import { parallelism, threadBackend } from '#host';
import { BrokenThreadPool } from './errors.js';
import { show } from './options.js';
import { checkPoolOptions, poolArguments, type PoolOptions } from './pool/pool-options.js';
import { WorkerPoolExecutor } from './pool/worker-pool.js';

/** Options of a {@link ThreadPoolExecutor}. */
export interface ThreadPoolExecutorOptions extends PoolOptions {
  /** A worker of your own, whose file calls `expose` of `concurrent-futures/worker`: its URL or path, or a function that makes it. */
  worker?: string | URL | (() => object) | undefined;
  /** Handed to each worker's constructor: in Node `resourceLimits`, `env`, `execArgv`, `stdout`; in browsers `name`, `credentials`. */
  workerOptions?: object | undefined;
}

/**
 * Runs callables in a pool of threads: worker threads in Node, Deno and Bun, web workers in browsers.
 *
 * Follows `concurrent.futures.ThreadPoolExecutor` of Python 3.14. Workers start as tasks need them, are reused, and end
 * when they have been idle for `idleTimeout`. An executor that nobody shut down does not keep the process alive while
 * nothing is pending.
 *
 * @example
 * ```ts
 * import { ThreadPoolExecutor } from 'concurrent-futures';
 *
 * await using executor = new ThreadPoolExecutor(4);
 * const futures = [30, 31, 32].map((n) =>
 *   executor.submit(function fib(k: number): number { return k < 2 ? k : fib(k - 1) + fib(k - 2); }, n),
 * );
 * for (const future of futures) console.log(await future);
 * ```
 */
export class ThreadPoolExecutor extends WorkerPoolExecutor {
  /** Tells the workers of one executor from those of another by their names. */
  static #made = 0;

  /**
   * @param maxWorkers - workers at most; the available parallelism by default. Or the options alone.
   * @param options - everything else
   * @throws RangeError or TypeError when an option is nonsense; the message names it
   */
  constructor(maxWorkers?: number | ThreadPoolExecutorOptions, options?: ThreadPoolExecutorOptions) {
    const given = poolArguments(maxWorkers, options, 'ThreadPoolExecutor');
    const { worker, workerOptions } = given;
    if (
      worker !== undefined &&
      typeof worker !== 'string' &&
      typeof worker !== 'function' &&
      !(worker instanceof URL)
    ) {
      throw new TypeError(`'worker' must be a URL, a path or a function: received ${show(worker)}`);
    }
    if (workerOptions !== undefined && (typeof workerOptions !== 'object' || (workerOptions as unknown) === null)) {
      throw new TypeError(`'workerOptions' must be an object: received ${show(workerOptions)}`);
    }
    given.threadNamePrefix ??= `ThreadPoolExecutor-${String(ThreadPoolExecutor.#made++)}`;
    super(
      checkPoolOptions(given, 'ThreadPoolExecutor', parallelism()),
      threadBackend(worker, workerOptions),
      BrokenThreadPool,
    );
  }
}
