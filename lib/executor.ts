/* eslint-disable @typescript-eslint/no-explicit-any -- `any[]` lets parameters without types be inferred, `unknown[]` does not */
import type { Future } from './future.js';
import { createMapResult, type MapOptions, type MapResult } from './map-result.js';
import { checkCount, checkDuration, checkSignal, readOptions } from './options.js';

/** Things that structured cloning can move instead of copying: an ArrayBuffer, a MessagePort, a stream. */
export type TransferableValue = object;

/** Conditions that tasks run under; see {@link Executor.with}. */
export interface TaskOptions {
  /**
   * When aborted, a pending task is cancelled; a running one is stopped by ending its worker, and its future rejects with
   * the signal's reason. A worker that interleaves other tasks takes no new ones and ends when they have.
   */
  signal?: AbortSignal | undefined;
  /** ms of running time; past it the future rejects with `TimeoutError`, and the task is stopped as by `signal`. No limit by default. */
  timeout?: number | undefined;
  /** Higher first; tasks of equal priority keep the order of their submission. @default 0 */
  priority?: number | undefined;
  /** How often a task whose worker died is tried again; not for what a task throws, and not for timeouts. @default 0 */
  retries?: number | undefined;
  /**
   * For `stream`: how many items its generator may be ahead of the reader; 0 runs it only when the reader asks.
   *
   * @default 16, and up to 4096 where many items pass fast
   */
  highWaterMark?: number | undefined;
  /** What is moved to the worker instead of copied, wherever it is in the arguments. */
  transfer?: TransferableValue[] | undefined;
}

/** A distribution of durations in ms. */
export interface Histogram {
  /** How many were recorded. */
  count: number;
  /** The arithmetic mean in ms; 0 when nothing was recorded. */
  mean: number;
  /** The shortest in ms. */
  min: number;
  /** The longest in ms. */
  max: number;
  /** The median in ms. */
  p50: number;
  /** Nine of ten were no longer, in ms. */
  p90: number;
  /** Ninety-nine of a hundred were no longer, in ms. */
  p99: number;
}

/** What an executor has done and is doing; a snapshot. */
export interface ExecutorStats {
  /** Workers now, those that are starting included. */
  workers: number;
  /** Workers that run nothing. */
  idle: number;
  /** Workers that run something. */
  busy: number;
  /** Tasks that no worker has begun, those sent ahead to a worker included. */
  queued: number;
  /** Tasks that a worker has begun and not ended. */
  running: number;
  /** Tasks accepted since the start. */
  submitted: number;
  /** Tasks that succeeded since the start. */
  completed: number;
  /** Tasks that failed since the start. */
  failed: number;
  /** Tasks cancelled since the start. */
  cancelled: number;
  /** ms from submission to beginning. */
  waitTime: Histogram;
  /** ms from beginning to end. */
  runTime: Histogram;
}

/** How {@link Executor.shutdown} goes about it. */
export interface ShutdownOptions {
  /** False: return at once; what was submitted is still done. @default true */
  wait?: boolean | undefined;
  /** True: cancel what no worker has begun. @default false */
  cancelFutures?: boolean | undefined;
}

/** Something that `map` reads items from. */
export type Input<T = unknown> = Iterable<T> | AsyncIterable<T>;

/** The items of several inputs, side by side. */
export type ItemsOf<I extends readonly Input[]> = { [K in keyof I]: I[K] extends Input<infer T> ? T : never };

/** The arguments of a callable, each from an iterable of its own; what `map` takes. */
export type IterablesOf<A extends readonly unknown[]> = { [K in keyof A]: Input<A[K]> };

/** What a generator gives when it is called, or a function that gets one first. */
export type AnyGenerator =
  | Generator<unknown, unknown, never>
  | AsyncGenerator<unknown, unknown, never>
  | PromiseLike<Generator<unknown, unknown, never> | AsyncGenerator<unknown, unknown, never>>;

/** What a callable that is a generator yields. */
export type YieldOf<R> =
  Awaited<R> extends Generator<infer Y, unknown, never> | AsyncGenerator<infer Y, unknown, never> ? Awaited<Y> : never;

/** A class whose objects can live in a worker. */
export type Constructor<A extends unknown[], T extends object> = new (...args: A) => T;

/** An object that lives in a worker, seen from here: its methods and properties give promises. */
export type RemoteObject<T> = {
  readonly [K in keyof T as T[K] extends (...args: never[]) => unknown ? K : never]: T[K] extends (
    ...args: infer A
  ) => infer R
    ? (...args: A) => Promise<Awaited<R>>
    : never;
} & {
  readonly [K in keyof T as T[K] extends (...args: never[]) => unknown ? never : K]: Promise<Awaited<T[K]>>;
} & Disposable & {
    /** Lets go of the object in its worker; calls after that reject. */
    release(): void;
  };

/** `submit`, `map` and `stream` under the options given to {@link Executor.with}. */
export interface BoundExecutor {
  /** As {@link Executor.submit}, under the options. */
  submit<A extends any[], R>(callable: (...args: A) => R, ...args: A): Future<Awaited<R>>;
  /** As {@link Executor.map}, under the options. */
  map<A extends any[], R>(
    callable: (...args: A) => R,
    ...iterables: [...IterablesOf<A>] | [...IterablesOf<A>, MapOptions]
  ): MapResult<Awaited<R>>;
  /** The same, for callables whose parameters follow from the iterables. */
  map<I extends [Input, ...Input[]], R>(
    callable: (...args: ItemsOf<I>) => R,
    ...iterables: [...I, MapOptions]
  ): MapResult<Awaited<R>>;
  /** As {@link Executor.stream}, under the options. */
  stream<A extends any[], R extends AnyGenerator>(
    callable: (...args: A) => R,
    ...args: A
  ): AsyncIterableIterator<YieldOf<R>>;
}

/**
 * Runs callables elsewhere and hands back futures: the base of every executor here.
 *
 * Follows `concurrent.futures.Executor` of Python 3.14.
 */
export abstract class Executor implements AsyncDisposable {
  /**
   * Has a worker call `callable(...args)`. The arguments are structured-cloned when the task is sent.
   *
   * @param callable - a plain function (sent by its source: it sees its arguments and the worker's globals, not the
   * variables around it), a function tagged with `task`, or one named through `tasksFrom`
   * @param args - its arguments
   * @returns the future of the call's result; what cannot be cloned rejects it with a `DataCloneError`
   * @throws TypeError when `callable` cannot be called in a worker
   * @throws QueueFullError when `maxQueueSize` tasks are waiting
   * @throws ExecutorShutdownError after `shutdown`
   * @throws BrokenExecutor when the pool is broken
   *
   * @example
   * ```ts
   * import { ThreadPoolExecutor } from 'concurrent-futures';
   *
   * const executor = new ThreadPoolExecutor();
   * console.log(await executor.submit((a: number, b: number) => a ** b, 2, 10)); // 1024
   * ```
   */
  submit<A extends any[], R>(callable: (...args: A) => R, ...args: A): Future<Awaited<R>> {
    return this.submitTask(callable, args, undefined) as Future<Awaited<R>>;
  }

  /**
   * Calls `callable` with the items of one or more iterables, as many calls at once as the pool has workers.
   *
   * @param callable - as for {@link Executor.submit}
   * @param iterables - one for each argument, sync or async; the shortest ends the input. Options may follow.
   * @returns the results in the order of the input: `for await` gives one by one, `await` all of them as an array
   * @throws TypeError for a non-iterable, RangeError for options out of range
   *
   * @example
   * ```ts
   * import { ThreadPoolExecutor } from 'concurrent-futures';
   *
   * const executor = new ThreadPoolExecutor();
   * console.log(await executor.map((x: number) => x * x, [1, 2, 3])); // [ 1, 4, 9 ]
   * ```
   */
  map<A extends any[], R>(
    callable: (...args: A) => R,
    ...iterables: [...IterablesOf<A>] | [...IterablesOf<A>, MapOptions]
  ): MapResult<Awaited<R>>;
  /** The same, for callables whose parameters follow from the iterables. */
  map<I extends [Input, ...Input[]], R>(
    callable: (...args: ItemsOf<I>) => R,
    ...iterables: [...I, MapOptions]
  ): MapResult<Awaited<R>>;
  map(callable: (...args: never[]) => unknown, ...iterables: unknown[]): MapResult<never> {
    return this.#map(NO_OPTIONS, callable, iterables) as MapResult<never>;
  }

  /**
   * The same `submit`, `map` and `stream`, under conditions.
   *
   * @throws RangeError or TypeError for options out of range
   *
   * @example
   * ```ts
   * import { ThreadPoolExecutor } from 'concurrent-futures';
   *
   * const executor = new ThreadPoolExecutor();
   * const future = executor.with({ timeout: 50 }).submit(() => { for (;;); });
   * console.log(await future.exception()); // TimeoutError
   * ```
   */
  with(options: TaskOptions): BoundExecutor {
    const checked = checkTaskOptions(options);
    return {
      submit: (callable, ...args) => this.submitTask(callable, args, checked) as Future<never>,
      map: (callable: unknown, ...iterables: unknown[]) => this.#map(checked, callable, iterables) as MapResult<never>,
      stream: (callable, ...args) => this.streamTask(callable, args, checked) as AsyncIterableIterator<never>,
    };
  }

  /**
   * Runs a sync or async generator in a worker and yields here what it yields there. The generator is paused while the
   * reader is behind; breaking out of the loop runs its `finally`.
   *
   * @param callable - a generator function, given as for {@link Executor.submit}
   * @param args - its arguments
   *
   * @example
   * ```ts
   * import { ThreadPoolExecutor } from 'concurrent-futures';
   *
   * const executor = new ThreadPoolExecutor();
   * const count = function* (n: number) { for (let i = 0; i < n; i++) yield i; };
   * for await (const i of executor.stream(count, 3)) console.log(i); // 0 1 2
   * ```
   */
  stream<A extends any[], R extends AnyGenerator>(
    callable: (...args: A) => R,
    ...args: A
  ): AsyncIterableIterator<YieldOf<R>> {
    return this.streamTask(callable, args, undefined) as AsyncIterableIterator<YieldOf<R>>;
  }

  /** Constructs an object in one worker and returns a handle to it; the object stays there. */
  abstract create<A extends unknown[], T extends object>(
    classReference: Constructor<A, T>,
    ...args: A
  ): Promise<RemoteObject<T>>;

  /** Resolves when every task submitted so far has ended, well or badly. The pool stays usable. */
  abstract join(): Promise<void>;

  /** Resolves when the queue has room for a task; waiters get it in the order of their calls. */
  abstract ready(): Promise<void>;

  /** Counters, now and since the start. */
  abstract stats(): ExecutorStats;

  /**
   * Takes no more tasks, and ends the workers when those submitted have ended. May be called again; a later call may add
   * `wait` or `cancelFutures`. A worker whose task gave a stream ends when that has ended; this does not wait for it.
   *
   * @returns a promise that resolves when the workers are gone; at once with `wait: false`
   */
  abstract shutdown(options?: ShutdownOptions): Promise<void>;

  /** Ends the workers at once and for good: what was running or queued fails with `BrokenExecutor`. */
  abstract terminateWorkers(): Promise<void>;

  /** `await using executor = ...` shuts it down at the end of the block. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown();
  }

  /** @internal Accepts a task, or throws. */
  protected abstract submitTask(callable: unknown, args: unknown[], options: TaskOptions | undefined): Future<unknown>;

  /** @internal Accepts a generator, or throws. */
  protected abstract streamTask(
    callable: unknown,
    args: unknown[],
    options: TaskOptions | undefined,
  ): AsyncIterableIterator<unknown>;

  /** @internal Throws what `submitTask` would throw for this callable. */
  protected abstract checkCallable(callable: unknown): void;

  /** @internal True when `submitTask` would find room in the queue. */
  protected abstract hasRoom(): boolean;

  #map(options: TaskOptions, callable: unknown, given: unknown[]): MapResult<unknown> {
    return createMapResult(
      {
        submit: (args, signal) =>
          this.submitTask(callable, args, signal === undefined ? options : readOptions({ ...options, signal }, 'map')),
        check: () => {
          this.checkCallable(callable);
        },
        hasRoom: () => this.hasRoom(),
        ready: () => this.ready(),
        signal: options.signal,
      },
      given,
    );
  }
}

function checkTaskOptions(given: TaskOptions): TaskOptions {
  const options = readOptions(given, 'with');
  checkSignal(options.signal);
  if (options.timeout !== undefined) checkDuration(options.timeout, 'timeout');
  if (options.highWaterMark !== undefined) checkCount(options.highWaterMark, 'highWaterMark', 0);
  if (options.retries !== undefined) checkCount(options.retries, 'retries', 0, true);
  const { priority } = options;
  if (priority !== undefined && (typeof priority !== 'number' || Number.isNaN(priority))) {
    throw new (typeof priority === 'number' ? RangeError : TypeError)(
      `'priority' must be a number: received ${String(priority)}`,
    );
  }
  if (options.transfer !== undefined && !Array.isArray(options.transfer)) {
    throw new TypeError("'transfer' must be an array of transferable objects");
  }
  return options;
}

/** Without a prototype: a polluted one must not configure tasks. */
const NO_OPTIONS = Object.create(null) as TaskOptions;
