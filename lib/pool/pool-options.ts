import { checkCount, checkDuration, checkFunction, readOptions, show } from '../options.js';
import type { Sizes } from './scheduler.js';

/** Options that every pool of workers has. */
export interface PoolOptions {
  /** Workers at most. @default the available parallelism */
  maxWorkers?: number | undefined;
  /** Workers started at once and kept. @default 0: workers start as tasks need them */
  minWorkers?: number | undefined;
  /** Idle workers kept ready beyond the busy ones, up to `maxWorkers`, from construction on. @default 0 */
  minSpareWorkers?: number | undefined;
  /** ms until an idle worker above those floors ends; `Infinity` keeps it. @default 60_000 */
  idleTimeout?: number | undefined;
  /** Tasks interleaved in one worker: more than one only helps tasks that wait. @default 1 */
  concurrentTasksPerWorker?: number | undefined;
  /** A worker is replaced after this many tasks. @default Infinity */
  maxTasksPerWorker?: number | undefined;
  /** Tasks that may wait for a worker; beyond it `submit` throws `QueueFullError`. @default Infinity */
  maxQueueSize?: number | undefined;
  /** Workers are named `<threadNamePrefix>_<n>`. @default the name of the executor's class and its number, as `ThreadPoolExecutor-0` */
  threadNamePrefix?: string | undefined;
  /** Called once in each worker before its first task; a callable as for `submit`. If it fails, the pool is broken. */
  initializer?: ((...args: never[]) => unknown) | undefined;
  /** The arguments of `initializer`. @default none */
  initargs?: readonly unknown[] | undefined;
  /** Told of errors in a worker that belong to no task. @default a warning */
  onWorkerError?: ((error: unknown) => void) | undefined;
}

/** Sizes that `resize` changes. */
export interface PoolSize {
  /** Workers at most. */
  maxWorkers?: number | undefined;
  /** Workers kept. */
  minWorkers?: number | undefined;
  /** Idle workers kept beyond the busy ones. */
  minSpareWorkers?: number | undefined;
}

/** The options as the pool uses them. */
export interface CheckedPoolOptions extends Sizes {
  idleTimeout: number;
  concurrentTasksPerWorker: number;
  maxTasksPerWorker: number;
  maxQueueSize: number;
  threadNamePrefix: string;
  initializer: unknown;
  initargs: readonly unknown[];
  onWorkerError: ((error: unknown) => void) | undefined;
}

/**
 * The options of an executor that takes the number of workers first, or the options alone.
 *
 * @throws TypeError when either is of a wrong kind
 */
export function poolArguments<O extends PoolOptions>(
  maxWorkers: number | O | undefined,
  options: O | undefined,
  owner: string,
): Partial<O> {
  if (typeof maxWorkers === 'object' && maxWorkers !== null && options === undefined)
    return readOptions(maxWorkers, owner);
  if (maxWorkers !== undefined && typeof maxWorkers !== 'number') {
    throw new TypeError(`'maxWorkers' must be a number: received ${show(maxWorkers)}`);
  }
  const given = readOptions(options, owner);
  if (maxWorkers !== undefined) given.maxWorkers = maxWorkers;
  return given;
}

/** Checks the options of a pool, in one place. */
export function checkPoolOptions(given: PoolOptions, owner: string, parallelism: number): CheckedPoolOptions {
  const options = readOptions(given, owner);
  const { threadNamePrefix, initargs = [] } = options;
  if (threadNamePrefix !== undefined && typeof threadNamePrefix !== 'string') {
    throw new TypeError(`'threadNamePrefix' must be a string: received ${show(threadNamePrefix)}`);
  }
  checkFunction(options.initializer, 'initializer');
  checkFunction(options.onWorkerError, 'onWorkerError');
  if (!Array.isArray(initargs)) throw new TypeError(`'initargs' must be an array: received ${show(initargs)}`);
  return {
    // A floor above the default ceiling is a wish for more workers, not nonsense.
    ...checkSizes(options, {
      maxWorkers: Math.max(parallelism, checkCount(options.minWorkers ?? 1, 'minWorkers', 0)),
      minWorkers: 0,
      minSpareWorkers: 0,
    }),
    idleTimeout: checkDuration(options.idleTimeout ?? 60_000, 'idleTimeout'),
    concurrentTasksPerWorker: checkCount(options.concurrentTasksPerWorker ?? 1, 'concurrentTasksPerWorker', 1),
    maxTasksPerWorker: checkCount(options.maxTasksPerWorker ?? Infinity, 'maxTasksPerWorker', 1, true),
    maxQueueSize: checkCount(options.maxQueueSize ?? Infinity, 'maxQueueSize', 0, true),
    threadNamePrefix: threadNamePrefix ?? owner,
    initializer: options.initializer,
    initargs: initargs as readonly unknown[],
    onWorkerError: options.onWorkerError,
  };
}

/** Checks new sizes against each other and those that stay. */
export function checkSizes(given: PoolSize, current: Sizes): Sizes {
  const maxWorkers = checkCount(given.maxWorkers ?? current.maxWorkers, 'maxWorkers', 1);
  const minWorkers = checkCount(given.minWorkers ?? current.minWorkers, 'minWorkers', 0);
  const minSpareWorkers = checkCount(given.minSpareWorkers ?? current.minSpareWorkers, 'minSpareWorkers', 0);
  if (minWorkers > maxWorkers) {
    throw new RangeError(
      `'minWorkers' must not be above 'maxWorkers': received ${String(minWorkers)} and ${String(maxWorkers)}`,
    );
  }
  return { maxWorkers, minWorkers, minSpareWorkers };
}
