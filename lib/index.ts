export { asCompleted, type AsCompletedOptions, type CompletedFutures } from './as-completed.js';
export * from './errors.js';
export {
  type AnyGenerator,
  type BoundExecutor,
  type Constructor,
  Executor,
  type ExecutorStats,
  type Histogram,
  type Input,
  type ItemsOf,
  type IterablesOf,
  type RemoteObject,
  type ShutdownOptions,
  type TaskOptions,
  type TransferableValue,
  type YieldOf,
} from './executor.js';
export { Future, type FutureResolvers } from './future.js';
export type { MapOptions, MapProgress, MapResult } from './map-result.js';
export {
  ALL_COMPLETED,
  FIRST_COMPLETED,
  FIRST_EXCEPTION,
  wait,
  type WaitOptions,
  type WaitResult,
  type WaitResultOf,
} from './wait.js';
export { type AnyFunction, task, tasksFrom, type TasksOf } from './callable.js';
export { proxy, transfer, type TransferHandler, transferHandlers } from './comlink.js';
export { ThreadPoolExecutor, type ThreadPoolExecutorOptions } from './thread.js';
export type { PoolOptions, PoolSize } from './pool/pool-options.js';
export { registerErrorClass } from './wire/errors.js';
