import { CancelledError, InvalidStateError, TimeoutError } from './errors.js';
import { bindContext, reportCallbackError, reportLostFailure } from '#diagnostics';
import type { TaskDescription } from './lost-failures.js';
import { checkTimeout } from './timeouts.js';

// The states of a future. A task that a worker has begun may still read PENDING here: the claim is in memory shared with
// the worker, and the future asks its source for it when somebody asks the future.
const PENDING = 0;
const RUNNING = 1;
const CANCELLED = 2;
const FAILED = 3;
const SUCCEEDED = 4;
type State = typeof PENDING | typeof RUNNING | typeof CANCELLED | typeof FAILED | typeof SUCCEEDED;

/** What stands behind a future that an executor made: whoever can say whether the task began, and can take it back. */
export interface FutureSource {
  /** True once a worker has begun the task. */
  begun(): boolean;
  /** Takes the task back so that it never begins; false when it has begun. Called on pending futures only. */
  withdraw(): boolean;
  /** The task's name and the place of its submission, for reports. */
  describe(): TaskDescription;
}

/** Told when a future is done; `wait` and `asCompleted` put one on each future they watch, and take it off again. */
export interface Waiter {
  futureDone(future: Future<unknown>): void;
}

type DoneCallback = (future: Future<never>) => void;

/**
 * Whoever is told by promise. The first may be a promise of the engine's own, of which a future only knows how to resolve
 * it; all others share the one promise of the future.
 */
interface Sink {
  resolve: (value: unknown) => void;
  reject: (reason: unknown) => void;
  promise: Promise<unknown> | undefined;
  next: Sink | undefined;
}

/** The writing side of a future, apart from its reading side, as with promises. */
export interface FutureResolvers<T> {
  /** The reading side: hand this one out. */
  future: Future<T>;
  /**
   * Marks the future as running, so that it can no longer be cancelled.
   *
   * @returns false when the future was cancelled: then the work must not begin
   * @throws InvalidStateError when it is running or finished
   */
  setRunningOrNotifyCancel(this: void): boolean;
  /** Ends the future with a value. @throws InvalidStateError when it is finished or cancelled */
  setResult(this: void, value: T): void;
  /** Ends the future with an error. @throws InvalidStateError when it is finished or cancelled */
  setException(this: void, error: unknown): void;
}

// The friend access of the pool: assigned in the class's static block, so that the writing side stays out of the type.
let newFuture: (source: FutureSource | undefined) => Future<unknown>;
let endFuture: (future: Future<unknown>, state: State, value: unknown) => void;
let begin: (future: Future<unknown>) => void;
let watch: (future: Future<unknown>, waiter: Waiter) => boolean;
let unwatch: (future: Future<unknown>, waiter: Waiter) => void;
let stateOf: (future: Future<unknown>) => State;
let look: (future: Future<unknown>) => void;
let isMade: (value: object) => boolean;

/**
 * The result of a task, there or still to come. Made by `executor.submit`, or by {@link Future.withResolvers} in tests and
 * in executors of one's own. A future is promise-like: `await future` is `await future.result()`.
 *
 * Follows `concurrent.futures.Future` of Python 3.14, with promises where Python blocks.
 *
 * @example
 * ```ts
 * import { ThreadPoolExecutor } from 'concurrent-futures';
 *
 * const executor = new ThreadPoolExecutor();
 * const future = executor.submit((a: number, b: number) => a + b, 1, 2);
 * future.addDoneCallback((f) => console.log(f.done())); // true
 * console.log(await future); // 3
 * ```
 */
export class Future<T> implements PromiseLike<T> {
  #state: State = PENDING;
  /** The value when succeeded, the reason when failed; when cancelled the one CancelledError, made when first asked for. */
  #value: unknown;
  #source: FutureSource | undefined;
  #sink: Sink | undefined;
  #waiters: Set<Waiter> | undefined;
  #callbacks: DoneCallback | DoneCallback[] | undefined;
  #looked = false;

  static {
    newFuture = (source) => new Future<unknown>(source);
    endFuture = (future, state, value) => {
      future.#end(state, value);
    };
    begin = (future) => {
      if (future.#state === PENDING) future.#state = RUNNING;
    };
    watch = (future, waiter) => {
      if (future.#state >= CANCELLED) return false;
      (future.#waiters ??= new Set()).add(waiter);
      return true;
    };
    unwatch = (future, waiter) => {
      future.#waiters?.delete(waiter);
    };
    stateOf = (future) => future.#state;
    look = (future) => {
      future.#look();
    };
    isMade = (value) => #state in value;
  }

  private constructor(source: FutureSource | undefined) {
    this.#source = source;
  }

  /**
   * Makes a pending future together with the functions that move it on. For those who write executors and tests.
   *
   * @example
   * ```ts
   * import { Future } from 'concurrent-futures';
   *
   * const { future, setRunningOrNotifyCancel, setResult } = Future.withResolvers<number>();
   * if (setRunningOrNotifyCancel()) setResult(42);
   * console.log(await future); // 42
   * ```
   */
  static withResolvers<T>(): FutureResolvers<T> {
    const future = new Future<T>(undefined);
    const write = (state: State, value: unknown, what: string) => {
      if (future.#state >= CANCELLED) {
        throw new InvalidStateError(`Cannot ${what}: the future is ${future.#stateName()} already`);
      }
      if (value === future) future.#end(FAILED, new TypeError('A future cannot be its own result'));
      else future.#end(state, value);
    };
    return {
      future,
      setRunningOrNotifyCancel: () => {
        if (future.#state === CANCELLED) return false;
        if (future.#state !== PENDING) {
          throw new InvalidStateError(`Cannot begin: the future is ${future.#stateName()} already`);
        }
        future.#state = RUNNING;
        return true;
      },
      setResult: (value) => {
        write(SUCCEEDED, value, 'set the result');
      },
      setException: (error) => {
        write(FAILED, error, 'set the exception');
      },
    };
  }

  /**
   * Cancels the task unless a worker has begun it. Its function is then never called, even when the task had been sent
   * ahead to a worker. The future is done when the call returns: its callbacks have run.
   *
   * @returns true when the future is cancelled, now or earlier; false when it is running or finished
   */
  cancel(): boolean {
    if (this.#state === PENDING) {
      if (this.#source?.withdraw() === false) {
        this.#state = RUNNING;
        return false;
      }
      this.#end(CANCELLED, undefined);
    }
    return this.#state === CANCELLED;
  }

  /** True when the future was cancelled. */
  cancelled(): boolean {
    return this.#state === CANCELLED;
  }

  /** True while a worker runs the task: it has begun and is not done. */
  running(): boolean {
    if (this.#state === PENDING && this.#source?.begun() === true) this.#state = RUNNING;
    return this.#state === RUNNING;
  }

  /** True when the future is finished or cancelled. */
  done(): boolean {
    return this.#state >= CANCELLED;
  }

  /**
   * The task's result.
   *
   * @param timeout - ms to wait at most; 0 does not wait; no limit by default. The task goes on when it passes.
   * @returns a promise of the value; it rejects with what the task threw
   * @throws CancelledError (rejects) when the future is or gets cancelled
   * @throws TimeoutError (rejects) when `timeout` passes first
   */
  result(timeout?: number): Promise<T> {
    this.#look();
    const limit = checkTimeout(timeout);
    if (this.#state >= CANCELLED || limit === undefined) return this.#promise() as Promise<T>;
    return this.#within(limit) as Promise<T>;
  }

  /**
   * The error that the task ended with, as a value.
   *
   * @param timeout - ms to wait at most; 0 does not wait; no limit by default. The task goes on when it passes.
   * @returns a promise of the error, or of undefined when the task succeeded. What was thrown may be falsy itself:
   * {@link Future.outcome} tells that apart.
   * @throws CancelledError (rejects) when the future is or gets cancelled
   * @throws TimeoutError (rejects) when `timeout` passes first
   */
  exception(timeout?: number): Promise<unknown> {
    const finished = this.result(timeout);
    return finished.then(
      () => undefined,
      (error: unknown) => {
        // A time that passed and a cancellation are no exceptions of the task; the task's own may be of any class.
        if (this.#state !== FAILED || !Object.is(error, this.#value)) throw error;
        return error;
      },
    );
  }

  /**
   * What the future ended with, without waiting.
   *
   * @returns as an entry of `Promise.allSettled`; a cancelled future is rejected with {@link CancelledError}. Undefined
   * while the future is not done.
   */
  outcome(): PromiseSettledResult<T> | undefined {
    if (this.#state < CANCELLED) return undefined;
    this.#look();
    return this.#state === SUCCEEDED
      ? { status: 'fulfilled', value: this.#value as T }
      : { status: 'rejected', reason: this.#reason() };
  }

  /**
   * Has `callback` called with this future when it is done. Callbacks run in the order added, inside the call that ends
   * the future; one added to a future that is done runs in a microtask. One added twice runs twice. One that throws is
   * reported with `console.error` and stops neither the others nor the caller.
   *
   * @throws TypeError when `callback` is not a function
   */
  addDoneCallback(callback: (future: Future<T>) => void): void {
    if (typeof callback !== 'function') {
      throw new TypeError(`addDoneCallback needs a function: received ${callback === null ? 'null' : typeof callback}`);
    }
    const bound = bindContext(callback) as DoneCallback;
    if (this.#state >= CANCELLED) {
      // Not by queueMicrotask, which fake clocks of tests stop.
      void Promise.resolve().then(() => {
        this.#call(bound);
      });
    } else if (this.#callbacks === undefined) {
      this.#callbacks = bound;
    } else if (typeof this.#callbacks === 'function') {
      this.#callbacks = [this.#callbacks, bound];
    } else {
      this.#callbacks.push(bound);
    }
  }

  /** As with promises; `await future` calls it. */
  then<A = T, B = never>(
    onfulfilled?: ((value: T) => A | PromiseLike<A>) | null,
    onrejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.#look();
    if (this.#sink === undefined && areResolvers(onfulfilled, onrejected)) {
      return this.#resolveThrough(onfulfilled as Sink['resolve'], onrejected as Sink['reject']) as Promise<never>;
    }
    return (this.#promise() as Promise<T>).then(onfulfilled, onrejected);
  }

  /** As with promises. */
  catch<B = never>(onrejected?: ((reason: unknown) => B | PromiseLike<B>) | null): Promise<T | B> {
    return this.then(undefined, onrejected);
  }

  /** As with promises. */
  finally(onfinally?: (() => void) | null): Promise<T> {
    this.#look();
    return (this.#promise() as Promise<T>).finally(onfinally);
  }

  /** The state, and the value or error once there is one. */
  toString(): string {
    if (this.#state === SUCCEEDED) return `Future { finished: ${text(this.#value)} }`;
    if (this.#state === FAILED) return `Future { finished: threw ${text(this.#value)} }`;
    return `Future { ${this.#stateName()} }`;
  }

  /** What `Object.prototype.toString` shows. */
  get [Symbol.toStringTag](): string {
    return 'Future';
  }

  /** @internal What `util.inspect` and `console.log` of Node show. */
  [Symbol.for('nodejs.util.inspect.custom')](
    depth: number | null,
    options: object,
    inspect?: (value: unknown, options: object) => string,
  ): string {
    if (depth !== null && depth < 0) return '[Future]';
    if (inspect === undefined || (this.#state !== SUCCEEDED && this.#state !== FAILED)) return this.toString();
    // One level deeper, so that a value that refers to its own future comes to an end.
    const shown = inspect(this.#value, { ...options, depth: depth === null ? null : depth - 1 });
    return `Future { finished: ${this.#state === FAILED ? 'threw ' : ''}${shown} }`;
  }

  #stateName(): string {
    if (this.#state === CANCELLED) return 'cancelled';
    if (this.#state >= FAILED) return 'finished';
    return this.running() ? 'running' : 'pending';
  }

  #reason(): unknown {
    if (this.#state === CANCELLED) this.#value ??= new CancelledError();
    return this.#value;
  }

  #end(state: State, value: unknown): void {
    const source = this.#source;
    this.#state = state;
    this.#value = value;
    this.#source = undefined;
    for (let sink = this.#sink; sink !== undefined; sink = sink.next) this.#tell(sink);
    const waiters = this.#waiters;
    if (waiters !== undefined) {
      this.#waiters = undefined;
      for (const waiter of waiters) waiter.futureDone(this);
    }
    const callbacks = this.#callbacks;
    if (callbacks !== undefined) {
      this.#callbacks = undefined;
      if (typeof callbacks === 'function') this.#call(callbacks);
      else for (const callback of callbacks) this.#call(callback);
    }
    // After the callbacks: one that asks for the exception has looked at it.
    if (state === FAILED && !this.#looked) reportLostFailure.watch(this, value, source?.describe());
  }

  #call(callback: DoneCallback): void {
    try {
      callback(this as unknown as Future<never>);
    } catch (error) {
      reportCallbackError(error);
    }
  }

  #look(): void {
    if (this.#looked) return;
    this.#looked = true;
    if (this.#state === FAILED) reportLostFailure.unwatch(this);
  }

  /** The one promise behind then, catch, finally and result: nobody pays for it who does not ask. */
  #promise(): Promise<unknown> {
    const first = this.#sink;
    const known = first?.promise ?? first?.next?.promise;
    if (known !== undefined) return known;
    if (this.#state === SUCCEEDED) return Promise.resolve(this.#value);
    const promise = new Promise<unknown>(keepResolvers);
    const sink: Sink = { resolve: keptResolve, reject: keptReject, promise, next: undefined };
    // Nothing may be kept alive by having been the last.
    keptResolve = keptReject = ignore;
    if (first === undefined) this.#sink = sink;
    else first.next = sink;
    if (this.#state >= CANCELLED) this.#tell(sink);
    return promise;
  }

  /**
   * Resolves a promise of the engine's own with the outcome, and makes none. `await`, `Promise.all` and their like call
   * `then` with the functions that resolve such a promise, and drop what it returns: with a promise of the future's own
   * between, and the one that `then` returns, each task would cost twice the time and the memory.
   */
  #resolveThrough(resolve: Sink['resolve'], reject: Sink['reject']): PromiseLike<undefined> {
    const sink: Sink = { resolve, reject, promise: undefined, next: undefined };
    if (this.#state >= CANCELLED) this.#tell(sink);
    else this.#sink = sink;
    return new Resolved(this);
  }

  #tell(sink: Sink): void {
    try {
      if (this.#state === SUCCEEDED) sink.resolve(this.#value);
      else sink.reject(this.#reason());
    } catch (error) {
      // Only functions that look like the engine's, and are not, throw.
      reportCallbackError(error);
    }
  }

  #within(limit: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const expired = () => {
        this.#waiters?.delete(waiter);
        reject(
          new TimeoutError(`The future is still ${this.#stateName()} after ${String(limit)} ms; the task goes on`),
        );
      };
      const waiter: Waiter = {
        futureDone: () => {
          clearTimeout(timer);
          if (this.#state === SUCCEEDED) resolve(this.#value);
          else reject(this.#reason());
        },
      };
      let timer: ReturnType<typeof setTimeout> | undefined;
      if (limit === 0) {
        expired();
      } else {
        (this.#waiters ??= new Set()).add(waiter);
        timer = setTimeout(expired, limit);
      }
    });
  }
}

/**
 * What `then` returns to those who have it resolve a promise: itself a promise to the eye, and a real one when somebody
 * asks it for something.
 */
class Resolved implements PromiseLike<undefined> {
  readonly #future: Future<unknown>;

  constructor(future: Future<unknown>) {
    this.#future = future;
  }

  then<A, B>(
    onfulfilled?: ((value: undefined) => A | PromiseLike<A>) | null,
    onrejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.#promise().then<A, B>(onfulfilled, onrejected);
  }

  catch<B>(onrejected?: ((reason: unknown) => B | PromiseLike<B>) | null): Promise<undefined | B> {
    return this.#promise().catch(onrejected);
  }

  finally(onfinally?: (() => void) | null): Promise<undefined> {
    return this.#promise().finally(onfinally);
  }

  #promise(): Promise<undefined> {
    return this.#future.then(nothing, nothing);
  }
}
Object.setPrototypeOf(Resolved.prototype, Promise.prototype);

function ignore(): void {
  // Stands where no promise is to be resolved.
}

function nothing(): undefined {
  return undefined;
}

let keptResolve!: Sink['resolve'];
let keptReject!: Sink['reject'];

/** For `new Promise` without a closure for each. */
function keepResolvers(resolve: Sink['resolve'], reject: Sink['reject']): void {
  keptResolve = resolve;
  keptReject = reject;
}

/** Text of the functions themselves, whatever their own `toString` says. */
const sourceOf = (callback: unknown) => Function.prototype.toString.call(callback);
void new Promise(keepResolvers);
const RESOLVER_SOURCE = sourceOf(keptResolve);

/** Whether the two are the functions by which the engine resolves a promise: native, of one argument, without a name. */
function areResolvers(resolve: unknown, reject: unknown): boolean {
  return isResolver(resolve) && isResolver(reject);
}

function isResolver(callback: unknown): boolean {
  return (
    typeof callback === 'function' &&
    callback.name === '' &&
    callback.length === 1 &&
    sourceOf(callback) === RESOLVER_SOURCE
  );
}

function text(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  try {
    return String(value);
  } catch {
    return Object.prototype.toString.call(value);
  }
}

const examples: object[] = [];

/**
 * Keeps examples of short-lived objects. When none of a kind is left at a collection, V8 forgets how they look, and with
 * that drops the code that it had optimized for them: an executor that had nothing to do for a while would be several times
 * as slow for its next thousands of tasks. @internal
 */
export function keepExamples(...objects: object[]): void {
  examples.push(...objects);
}

/** Makes a pending future for a task. @internal */
export function createFuture<T>(source: FutureSource): Future<T> {
  return newFuture(source) as Future<T>;
}

/** Ends a future that is not done; nothing happens to one that is. @internal */
export function succeed(future: Future<unknown>, value: unknown): void {
  if (!future.done()) endFuture(future, SUCCEEDED, value);
}

/** Ends a future that is not done; nothing happens to one that is. @internal */
export function fail(future: Future<unknown>, error: unknown): void {
  if (!future.done()) endFuture(future, FAILED, error);
}

/** Cancels a future whose task its executor has taken back itself. @internal */
export function markCancelled(future: Future<unknown>): void {
  if (!future.done()) endFuture(future, CANCELLED, undefined);
}

/** Keeps the future running from here on, whatever becomes of the worker that began it. @internal */
export function markRunning(future: Future<unknown>): void {
  begin(future);
}

/** Puts a waiter on a future. @returns false when the future is done: then nothing was put there @internal */
export function addWaiter(future: Future<unknown>, waiter: Waiter): boolean {
  return watch(future, waiter);
}

/** Takes a waiter off a future; nothing happens when it is not there. @internal */
export function removeWaiter(future: Future<unknown>, waiter: Waiter): void {
  unwatch(future, waiter);
}

/** True when the future ended with an exception. Unlike `outcome()`, this does not count as having looked at it. @internal */
export function hasFailed(future: Future<unknown>): boolean {
  return stateOf(future) === FAILED;
}

/** Whether an object is a future, without asking it anything: it may resist. @internal */
export function isFuture(value: object): boolean {
  return isMade(value);
}

/** Says that nobody will miss the failure of this future. @internal */
export function disregard(future: Future<unknown>): void {
  look(future);
}

const example = newFuture(undefined);
example.then(ignore, ignore).then(ignore, ignore);
keepExamples(example, new Resolved(example));
