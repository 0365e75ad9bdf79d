import { BrokenProcessPool } from './errors.js';
import { parallelism } from './node/host.js';
import { processBackend, type ProcessOptions } from './node/process-host.js';
import { show } from './options.js';
import { checkPoolOptions, poolArguments, type PoolOptions } from './pool/pool-options.js';
import { WorkerPoolExecutor } from './pool/worker-pool.js';

export type { ProcessOptions } from './node/process-host.js';

/** Options of a {@link ProcessPoolExecutor}. */
export interface ProcessPoolExecutorOptions extends PoolOptions {
  /** The file that the processes run, which calls `expose` of `concurrent-futures/worker`: its URL or path. @default one of this package */
  worker?: string | URL | undefined;
  /** Handed to `child_process.fork`: `env`, `execArgv`, `cwd`, `stdio`; and `resourceLimits`, as for threads. */
  workerOptions?: ProcessOptions | undefined;
}

/**
 * Runs callables in a pool of child processes: as `ThreadPoolExecutor`, for what threads must not share.
 *
 * Follows `concurrent.futures.ProcessPoolExecutor` of Python 3.14. Processes share no memory with this one, so a task that
 * was sent counts as begun, and no more is sent than a process can begin. A `net.Socket` or `net.Server` argument is handed
 * over as the operating system's handle. An array buffer that is transferred is copied, then emptied here.
 *
 * @example
 * ```ts
 * import { ProcessPoolExecutor } from 'concurrent-futures/process';
 *
 * await using executor = new ProcessPoolExecutor(2);
 * console.log(await executor.submit(() => process.pid) === process.pid); // false
 * ```
 */
export class ProcessPoolExecutor extends WorkerPoolExecutor {
  /** Tells the workers of one executor from those of another by their names. */
  static #made = 0;

  /**
   * @param maxWorkers - processes at most; the available parallelism by default. Or the options alone.
   * @param options - everything else
   * @throws RangeError or TypeError when an option is nonsense; the message names it
   */
  constructor(maxWorkers?: number | ProcessPoolExecutorOptions, options?: ProcessPoolExecutorOptions) {
    const given = poolArguments(maxWorkers, options, 'ProcessPoolExecutor');
    const { worker, workerOptions } = given;
    if (worker !== undefined && typeof worker !== 'string' && !(worker instanceof URL)) {
      throw new TypeError(`'worker' must be a URL or a path: received ${show(worker)}`);
    }
    if (workerOptions !== undefined && (typeof workerOptions !== 'object' || (workerOptions as unknown) === null)) {
      throw new TypeError(`'workerOptions' must be an object: received ${show(workerOptions)}`);
    }
    given.threadNamePrefix ??= `ProcessPoolExecutor-${String(ProcessPoolExecutor.#made++)}`;
    super(
      checkPoolOptions(given, 'ProcessPoolExecutor', parallelism()),
      processBackend(worker, workerOptions),
      BrokenProcessPool,
    );
  }

  /**
   * Kills the processes at once and for good, whatever they do: what was running or queued fails with
   * `BrokenProcessPool`.
   *
   * @returns a promise that resolves when the processes are gone
   */
  killWorkers(): Promise<void> {
    return this.killAll();
  }
}
