/**
 * Every error class that a caller may want to catch. Each carries its class name as `name` on the prototype, so that the
 * name survives minifiers and does not clutter what `console.log(error)` prints.
 */

function nameClass(errorClass: { prototype: Error }, name: string): void {
  Object.defineProperty(errorClass.prototype, 'name', { value: name, configurable: true, writable: true });
}

/**
 * The future was cancelled, so it has neither a result nor an exception.
 *
 * @example
 * ```ts
 * import { CancelledError, Future } from 'concurrent-futures';
 *
 * const { future } = Future.withResolvers<number>();
 * future.cancel();
 * await future.catch((error: unknown) => console.log(error instanceof CancelledError)); // true
 * ```
 */
export class CancelledError extends Error {
  static {
    nameClass(this, 'CancelledError');
  }

  constructor(
    message = 'The future was cancelled and has no result; ask cancelled() before result()',
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/**
 * Something was not finished in the time given for it. The message says what, and how long was waited.
 *
 * @example
 * ```ts
 * import { Future, TimeoutError } from 'concurrent-futures';
 *
 * const { future } = Future.withResolvers<number>();
 * await future.result(10).catch((error: unknown) => console.log(error instanceof TimeoutError)); // true
 * ```
 */
export class TimeoutError extends Error {
  static {
    nameClass(this, 'TimeoutError');
  }
}

/**
 * A future was written to in a state that does not allow it, for example given a second result.
 *
 * @example
 * ```ts
 * import { Future } from 'concurrent-futures';
 *
 * const { setResult } = Future.withResolvers<number>();
 * setResult(1);
 * setResult(2); // throws InvalidStateError
 * ```
 */
export class InvalidStateError extends Error {
  static {
    nameClass(this, 'InvalidStateError');
  }
}

/**
 * `submit` found the queue full: `maxQueueSize` tasks are waiting already. Await `executor.ready()` and submit again.
 *
 * @example
 * ```ts
 * import { QueueFullError, ThreadPoolExecutor } from 'concurrent-futures';
 *
 * const executor = new ThreadPoolExecutor(1, { maxQueueSize: 1 });
 * try {
 *   for (;;) executor.submit(() => 1);
 * } catch (error) {
 *   if (!(error instanceof QueueFullError)) throw error;
 *   await executor.ready();
 * }
 * ```
 */
export class QueueFullError extends Error {
  static {
    nameClass(this, 'QueueFullError');
  }
}

/**
 * The executor was shut down and takes no more tasks. Make a new one.
 *
 * @example
 * ```ts
 * import { ThreadPoolExecutor } from 'concurrent-futures';
 *
 * const executor = new ThreadPoolExecutor();
 * await executor.shutdown();
 * executor.submit(() => 1); // throws ExecutorShutdownError
 * ```
 */
export class ExecutorShutdownError extends Error {
  static {
    nameClass(this, 'ExecutorShutdownError');
  }
}

/**
 * The executor, or the worker that ran a task, is broken. `cause` holds what broke it, where that is known.
 *
 * Base class of {@link BrokenThreadPool}, {@link BrokenProcessPool} and {@link WorkerDiedError}.
 */
export class BrokenExecutor extends Error {
  static {
    nameClass(this, 'BrokenExecutor');
  }
}

/**
 * A `ThreadPoolExecutor` can run nothing any more: its initializer failed, its workers died ten times in a row before
 * anything was finished, or `terminateWorkers()` was called. `cause` holds the last reason. Mend that, then make a new executor.
 */
export class BrokenThreadPool extends BrokenExecutor {
  static {
    nameClass(this, 'BrokenThreadPool');
  }
}

/**
 * A `ProcessPoolExecutor` can run nothing any more; see {@link BrokenThreadPool} for the reasons.
 */
export class BrokenProcessPool extends BrokenExecutor {
  static {
    nameClass(this, 'BrokenProcessPool');
  }
}

/** What is known about the end of a worker. */
export interface WorkerDeath {
  /** The exit code of the thread or process, where there is one. */
  exitCode?: number | undefined;
  /** The name of the signal that ended the process, where there was one. */
  signal?: string | undefined;
  /** The error that ended the worker, where it is known. */
  cause?: unknown;
}

/**
 * The worker ended before the task that it had begun did: a crash, `process.exit`, out of memory, or a kill from outside.
 * The executor replaces the worker; `with({ retries })` tries the task again.
 *
 * @example
 * ```ts
 * import { ThreadPoolExecutor, WorkerDiedError } from 'concurrent-futures';
 *
 * const executor = new ThreadPoolExecutor(1);
 * const error = await executor.submit(() => process.exit(3)).exception();
 * console.log(error instanceof WorkerDiedError && error.exitCode); // 3
 * ```
 */
export class WorkerDiedError extends BrokenExecutor {
  static {
    nameClass(this, 'WorkerDiedError');
  }

  /** The exit code of the thread or process, where there was one. */
  declare readonly exitCode?: number;
  /** The name of the signal that ended the process, where there was one. */
  declare readonly signal?: string;

  constructor(message: string, death: WorkerDeath = {}) {
    super(message, death.cause === undefined ? undefined : { cause: death.cause });
    if (death.exitCode !== undefined) this.exitCode = death.exitCode;
    if (death.signal !== undefined) this.signal = death.signal;
  }
}
