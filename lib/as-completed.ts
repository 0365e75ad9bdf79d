import { TimeoutError } from './errors.js';
import { Fifo } from './fifo.js';
import { addWaiter, type Future, keepExamples, removeWaiter, type Waiter } from './future.js';
import { checkSignal, readOptions } from './options.js';
import { checkTimeout, Deadline } from './timeouts.js';
import { distinctFutures } from './wait.js';

/** Options of {@link asCompleted}. */
export interface AsCompletedOptions {
  /** ms from the call on; past it the iteration delivers what is finished, then rejects. No limit by default. */
  timeout?: number | undefined;
  /** Ends the iteration: `next()` rejects with the signal's reason. The tasks go on. */
  signal?: AbortSignal | undefined;
}

/**
 * What {@link asCompleted} gives. A type of its own, because TypeScript awaits the items of the global one: a loop over it
 * would be given the futures' values by their types.
 */
export interface CompletedFutures<F extends Future<unknown>> extends AsyncIterableIterator<F> {
  /** The next future that is done. */
  next(): Promise<IteratorResult<F, undefined>>;
  /** Ends the iteration. */
  return(): Promise<IteratorResult<F, undefined>>;
  /** Itself. */
  [Symbol.asyncIterator](): CompletedFutures<F>;
}

/**
 * Yields futures as they are done, each distinct one once, those already done first. They may come from different
 * executors. Breaking out of the loop leaves no listener on the futures.
 *
 * Follows `concurrent.futures.as_completed` of Python 3.14.
 *
 * @param futures - the futures to wait for
 * @param options - a time limit, and a signal that ends the iteration
 * @returns an async iterator of the futures themselves: ask each for `result()`
 * @throws TypeError for something that is not a future
 * @throws TimeoutError (rejects, once) when `timeout` passes first; its message says how many are unfinished
 * @throws the signal's reason (rejects, once) when `signal` is aborted
 *
 * @example
 * ```ts
 * import { asCompleted, ThreadPoolExecutor } from 'concurrent-futures';
 *
 * const executor = new ThreadPoolExecutor();
 * const futures = [3, 1, 2].map((n) => executor.submit((x: number) => x * 2, n));
 * for await (const future of asCompleted(futures)) console.log(await future);
 * ```
 */
export function asCompleted<T>(futures: Iterable<Future<T>>, options?: AsCompletedOptions): CompletedFutures<Future<T>>;
/** The same, for futures of different types. */
export function asCompleted<F extends Future<unknown>>(
  futures: Iterable<F>,
  options?: AsCompletedOptions,
): CompletedFutures<F>;
export function asCompleted<T>(
  futures: Iterable<Future<T>>,
  options?: AsCompletedOptions,
): CompletedFutures<Future<T>> {
  const { timeout, signal } = readOptions(options, 'asCompleted');
  checkSignal(signal);
  return new AsCompleted(distinctFutures(futures, 'asCompleted'), checkTimeout(timeout), signal);
}

/** Settles one call of `next()`. The future is boxed: a promise that is resolved with a bare future would unwrap it. */
interface Reader<T> {
  resolve: (result: IteratorResult<Future<T>, undefined>) => void;
  reject: (reason: unknown) => void;
}

// Written by hand: a generator would unwrap the futures that it yields, because a future is thenable.
class AsCompleted<T> implements CompletedFutures<Future<T>>, Waiter {
  readonly #total: number;
  readonly #pending = new Set<Future<T>>();
  readonly #signal: AbortSignal | undefined;
  #deadline: Deadline | undefined;
  readonly #ready = new Fifo<Future<T>>();
  readonly #readers = new Fifo<Reader<T>>();
  /** What the iteration ends with once everything ready is delivered. */
  #failure: { reason: unknown } | undefined;
  #ended = false;

  constructor(futures: Set<Future<T>>, timeout: number | undefined, signal: AbortSignal | undefined) {
    this.#total = futures.size;
    this.#signal = signal;
    for (const future of futures) {
      if (addWaiter(future, this)) this.#pending.add(future);
      else this.#ready.push(future);
    }
    const expired = () => {
      this.#fail(
        new TimeoutError(`${String(this.#pending.size)} (of ${String(this.#total)}) futures unfinished`),
        'deliver',
      );
    };
    const aborted = (reason: unknown) => {
      this.#fail(reason, 'drop');
    };
    if (signal?.aborted === true) aborted(signal.reason);
    else if (this.#pending.size > 0 && timeout === 0) expired();
    else if (this.#pending.size > 0) this.#deadline = new Deadline(timeout, expired, signal, aborted);
  }

  futureDone(future: Future<unknown>): void {
    this.#pending.delete(future as Future<T>);
    if (this.#pending.size === 0) this.#deadline?.clear();
    const reader = this.#readers.shift();
    if (reader === undefined) this.#ready.push(future as Future<T>);
    else reader.resolve({ value: future as Future<T>, done: false });
    if (this.#pending.size === 0) this.#finishReaders();
  }

  next(): Promise<IteratorResult<Future<T>, undefined>> {
    // Nothing listens to the signal any more when every future is done; it still ends a delivery that is under way.
    if (!this.#ended && this.#ready.length > 0 && this.#signal?.aborted === true) {
      this.#fail(this.#signal.reason, 'drop');
    }
    const future = this.#ready.shift();
    if (future !== undefined) return Promise.resolve({ value: future, done: false });
    if (this.#failure !== undefined) {
      const { reason } = this.#failure;
      this.#failure = undefined;
      return Promise.reject(reason);
    }
    if (this.#ended || this.#pending.size === 0) return Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve, reject) => {
      this.#readers.push({ resolve, reject });
    });
  }

  return(): Promise<IteratorResult<Future<T>, undefined>> {
    this.#release();
    this.#ready.clear();
    this.#failure = undefined;
    this.#finishReaders();
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #fail(reason: unknown, finished: 'deliver' | 'drop'): void {
    this.#release();
    if (finished === 'drop') this.#ready.clear();
    const reader = this.#readers.shift();
    if (reader === undefined) this.#failure = { reason };
    else reader.reject(reason);
    this.#finishReaders();
  }

  #release(): void {
    this.#ended = true;
    this.#deadline?.clear();
    for (const future of this.#pending) removeWaiter(future, this);
    this.#pending.clear();
  }

  #finishReaders(): void {
    for (const reader of this.#readers) reader.resolve({ value: undefined, done: true });
    this.#readers.clear();
  }
}

keepExamples(new AsCompleted(new Set<Future<unknown>>(), undefined, undefined));
