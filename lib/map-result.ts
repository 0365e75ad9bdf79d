import { reportCallbackError } from '#diagnostics';
import { TimeoutError } from './errors.js';
import { Fifo } from './fifo.js';
import { addWaiter, disregard, type Future, keepExamples } from './future.js';
import { checkCount, checkFunction, checkSignal, readOptions, show } from './options.js';
import { checkTimeout, Deadline } from './timeouts.js';

/** How far a `map` has come. */
export interface MapProgress {
  /** Items whose task has ended. */
  done: number;
  /** Items in the input, once that is known. */
  total?: number;
}

/** Options of `executor.map`, given after the iterables. */
export interface MapOptions {
  /** ms from the call of `map` on; past it `next()` rejects with `TimeoutError`, and what is unfinished is cancelled. No limit by default. */
  timeout?: number | undefined;
  /** How many items may be taken from the input and not yet be handed out. At least 1; by default the whole input is submitted at once. */
  buffersize?: number | undefined;
  /** Accepted for familiarity, at least 1; without effect, because tasks travel in batches anyway. */
  chunksize?: number | undefined;
  /** Ends the mapping: tasks are stopped as by `with({ signal })`, and `next()` rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
  /** Called each time the task of an item has ended. */
  onProgress?: ((progress: MapProgress) => void) | undefined;
}

/**
 * The results of `executor.map`, in the order of the input: `for await` gives them one by one, `await` gives all of them
 * as an array. Breaking out of the loop, and an `await` that fails, cancel what no worker has begun.
 */
export interface MapResult<R> extends AsyncIterableIterator<R>, PromiseLike<R[]> {
  /** The next result. It rejects for an item whose task failed; the calls after that give the items after it. */
  next(): Promise<IteratorResult<R, undefined>>;
  /** Ends the mapping: cancels what no worker has begun, and closes the input. */
  return(): Promise<IteratorResult<R, undefined>>;
  /** Itself: a mapping is read once. */
  [Symbol.asyncIterator](): MapResult<R>;
}

/** Where the tasks of a `map` go. */
export interface MapTarget {
  /** Throws when no task could be submitted, whatever its arguments. */
  check(): void;
  submit(args: unknown[], signal: AbortSignal | undefined): Future<unknown>;
  hasRoom(): boolean;
  ready(): Promise<void>;
  /** The signal that the tasks are under already. */
  signal: AbortSignal | undefined;
}

/** Starts a `map`: everything wrong with the arguments throws here. */
export function createMapResult(target: MapTarget, given: unknown[]): MapResult<unknown> {
  const inputs = given.slice();
  if (inputs.length > 0 && !isIterable(inputs.at(-1))) {
    const last = inputs.at(-1);
    if (last !== undefined && (typeof last !== 'object' || last === null)) {
      throw new TypeError(`map needs iterables: the last argument is ${show(last)}`);
    }
    inputs.pop();
    return start(target, inputs, last);
  }
  return start(target, inputs, undefined);
}

function start(target: MapTarget, inputs: unknown[], given: MapOptions | undefined): MapResult<unknown> {
  if (inputs.length === 0) throw new TypeError('map needs at least one iterable after the callable');
  inputs.forEach((input, i) => {
    if (!isIterable(input)) {
      throw new TypeError(`map needs iterables: the one at position ${String(i + 1)} is ${show(input)}`);
    }
  });
  const options = readOptions(given, 'map');
  checkTimeout(options.timeout);
  if (options.buffersize !== undefined) checkCount(options.buffersize, 'buffersize', 1);
  if (options.chunksize !== undefined) checkCount(options.chunksize, 'chunksize', 1);
  checkSignal(options.signal);
  checkFunction(options.onProgress, 'onProgress');
  target.check();
  return new Mapping(target, inputs as Input[], options);
}

type Input = Iterable<unknown> | AsyncIterable<unknown>;

function isIterable(value: unknown): value is Input {
  if (typeof value === 'string') return true;
  if (value === null || (typeof value !== 'object' && typeof value !== 'function')) return false;
  const { [Symbol.iterator]: sync, [Symbol.asyncIterator]: async } = value as Record<symbol, unknown>;
  return typeof sync === 'function' || typeof async === 'function';
}

/** Reads several inputs side by side until the shortest ends. */
class Zip {
  readonly sync: boolean;
  /** How many there will be, when every input tells its length beforehand. */
  readonly total: number | undefined;
  readonly #iterators: (Iterator<unknown> | AsyncIterator<unknown>)[];

  constructor(inputs: Input[]) {
    let total: number | undefined = Infinity;
    let sync = true;
    this.#iterators = inputs.map((input) => {
      if (Array.isArray(input)) total = total === undefined ? undefined : Math.min(total, input.length);
      else total = undefined;
      if (Symbol.asyncIterator in Object(input)) {
        sync = false;
        return (input as AsyncIterable<unknown>)[Symbol.asyncIterator]();
      }
      return (input as Iterable<unknown>)[Symbol.iterator]();
    });
    this.sync = sync;
    this.total = total;
  }

  /** The next arguments; undefined at the end. For inputs that are all sync. */
  readSync(): unknown[] | undefined {
    const args: unknown[] = [];
    for (const iterator of this.#iterators) {
      let step: IteratorResult<unknown>;
      try {
        step = (iterator as Iterator<unknown>).next();
      } catch (error) {
        this.close(iterator);
        throw error;
      }
      if (step.done === true) {
        this.close(iterator);
        return undefined;
      }
      args.push(step.value);
    }
    return args;
  }

  async read(): Promise<unknown[] | undefined> {
    const args: unknown[] = [];
    for (const iterator of this.#iterators) {
      let step: IteratorResult<unknown>;
      try {
        step = await iterator.next();
      } catch (error) {
        this.close(iterator);
        throw error;
      }
      if (step.done === true) {
        this.close(iterator);
        return undefined;
      }
      args.push(step.value);
    }
    return args;
  }

  /** Tells the inputs that nobody reads on; all but the one that has ended by itself, as a for-of loop does. */
  close(ended?: Iterator<unknown> | AsyncIterator<unknown>): void {
    for (const iterator of this.#iterators.splice(0)) {
      if (iterator === ended) continue;
      try {
        // A promise comes from async iterators; whatever it rejects with, nobody can use it here.
        Promise.resolve(iterator.return?.()).catch(ignore);
      } catch {
        // As with a broken-off for-of loop whose body threw: the first reason is the one that counts.
      }
    }
  }
}

function ignore(): void {
  // Intentionally empty.
}

interface Reader {
  resolve: (result: IteratorResult<unknown, undefined>) => void;
  reject: (reason: unknown) => void;
}

const DONE: IteratorResult<never, undefined> = { value: undefined, done: true };

class Mapping implements MapResult<unknown> {
  readonly #target: MapTarget;
  readonly #zip: Zip;
  readonly #limit: number;
  readonly #signal: AbortSignal | undefined;
  readonly #onProgress: ((progress: MapProgress) => void) | undefined;
  /** Submitted and not asked for, in the order of the input. */
  readonly #futures = new Fifo<Future<unknown>>();
  /** Calls of next() that no future has been found for yet. */
  readonly #readers = new Fifo<Reader>();
  /** Futures that a call of next() waits for. */
  readonly #awaited = new Map<Future<unknown>, Reader>();
  #deadline: Deadline | undefined;
  /** No more is read: the input ended, or the mapping did. */
  #inputEnded = false;
  /** What next() rejects with, once, after what is finished has been handed out. */
  #failure: { reason: unknown } | undefined;
  #reading = false;
  #submitted = 0;
  #finished = 0;
  #all: Promise<unknown[]> | undefined;

  constructor(target: MapTarget, inputs: Input[], options: Partial<MapOptions>) {
    this.#target = target;
    this.#limit = options.buffersize ?? Infinity;
    this.#onProgress = options.onProgress;
    this.#signal =
      options.signal !== undefined && target.signal !== undefined
        ? AbortSignal.any([options.signal, target.signal])
        : (options.signal ?? target.signal);
    this.#zip = new Zip(inputs);
    if (this.#signal?.aborted === true) {
      this.#stop({ reason: this.#signal.reason });
      return;
    }
    const timeout = checkTimeout(options.timeout);
    if (timeout !== undefined || this.#signal !== undefined) {
      this.#deadline = new Deadline(
        timeout,
        () => {
          this.#stop({
            reason: new TimeoutError(`map is not done after ${String(timeout)} ms; what was unfinished is cancelled`),
          });
        },
        this.#signal,
        (reason) => {
          this.#stop({ reason });
        },
      ).unref(); // The tasks keep the process alive; the limit on them need not.
    }
    try {
      this.#fill();
    } catch (error) {
      this.#stop(undefined);
      throw error;
    }
  }

  next(): Promise<IteratorResult<unknown, undefined>> {
    return new Promise((resolve, reject) => {
      this.#readers.push({ resolve, reject });
      this.#serve();
    });
  }

  return(): Promise<IteratorResult<unknown, undefined>> {
    this.#stop(undefined);
    for (const future of this.#futures) disregard(future);
    this.#futures.clear();
    return Promise.resolve(DONE);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  then<A = unknown[], B = never>(
    onfulfilled?: ((value: unknown[]) => A | PromiseLike<A>) | null,
    onrejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.#all ??= this.#collect();
    return this.#all.then(onfulfilled, onrejected);
  }

  async #collect(): Promise<unknown[]> {
    const results: unknown[] = [];
    try {
      for (;;) {
        const step = await this.next();
        if (step.done === true) return results;
        results.push(step.value);
      }
    } finally {
      void this.return();
    }
  }

  /** Reads and submits as much as the buffer and the queue take. Throws only what a sync input or `submit` throws. */
  #fill(): void {
    if (this.#reading) return;
    if (!this.#zip.sync) {
      void this.#fillAsync();
      return;
    }
    while (this.#wantsMore()) {
      if (!this.#target.hasRoom()) {
        void this.#fillAsync();
        return;
      }
      const args = this.#zip.readSync();
      // The input itself may have ended the mapping, for example by aborting its signal.
      if (!this.#inputEnded) this.#accept(args);
    }
  }

  async #fillAsync(): Promise<void> {
    this.#reading = true;
    try {
      while (this.#wantsMore()) {
        while (!this.#inputEnded && !this.#target.hasRoom()) await this.#target.ready();
        if (this.#inputEnded) return;
        const args = this.#zip.sync ? this.#zip.readSync() : await this.#zip.read();
        while (args !== undefined && !this.#inputEnded && !this.#target.hasRoom()) await this.#target.ready();
        if (!this.#inputEnded) this.#accept(args);
      }
    } catch (error) {
      this.#failReading(error);
    } finally {
      this.#reading = false;
    }
  }

  /** Items taken and not handed out: submitted and not asked for, and those that a pending next() waits for. */
  #wantsMore(): boolean {
    return !this.#inputEnded && this.#futures.length + this.#awaited.size < this.#limit;
  }

  #accept(args: unknown[] | undefined): void {
    if (args === undefined) {
      this.#inputEnded = true;
      this.#clearWhenFinished();
      this.#serve();
      return;
    }
    const future = this.#target.submit(args, this.#signal);
    this.#submitted++;
    if (this.#onProgress !== undefined || this.#deadline !== undefined) {
      if (!addWaiter(future, this)) this.futureDone();
    }
    if (this.#inputEnded) {
      // Ended meanwhile, by the submission or by onProgress.
      disregard(future);
      future.cancel();
      return;
    }
    this.#futures.push(future);
    this.#serve();
  }

  /** The waiter that counts progress. */
  futureDone(): void {
    this.#finished++;
    this.#clearWhenFinished();
    const total = this.#zip.total ?? (this.#inputEnded ? this.#submitted : undefined);
    try {
      this.#onProgress?.(total === undefined ? { done: this.#finished } : { done: this.#finished, total });
    } catch (error) {
      reportCallbackError(error, 'onProgress');
    }
  }

  /** When nothing is left to stop, neither the time nor the signal matters, however late the results are asked for. */
  #clearWhenFinished(): void {
    if (this.#inputEnded && this.#finished === this.#submitted) this.#deadline?.clear();
  }

  /** The input threw: what was read before is still handed out, then its error. */
  #failReading(error: unknown): void {
    // A mapping that has ended closed its input; how that takes it concerns nobody.
    if (this.#inputEnded) return;
    this.#inputEnded = true;
    this.#failure = { reason: error };
    this.#zip.close();
    this.#clearWhenFinished();
    this.#serve();
  }

  /** Brings the calls of next() together with the futures, in order. */
  #serve(): void {
    while (this.#readers.length > 0) {
      const future = this.#futures.shift();
      if (future !== undefined) {
        this.#handOut(future, this.#readers.shift() as Reader);
      } else if (this.#failure !== undefined && this.#awaited.size === 0) {
        const { reason } = this.#failure;
        this.#failure = undefined;
        this.#deadline?.clear();
        this.#readers.shift()?.reject(reason);
      } else if (this.#inputEnded && this.#failure === undefined) {
        if (this.#awaited.size === 0) this.#deadline?.clear();
        this.#readers.shift()?.resolve(DONE);
      } else {
        return;
      }
    }
  }

  #handOut(future: Future<unknown>, reader: Reader): void {
    this.#awaited.set(future, reader);
    const arrived = () => {
      if (!this.#awaited.delete(future)) return;
      const outcome = future.outcome();
      if (outcome?.status === 'fulfilled') reader.resolve({ value: outcome.value, done: false });
      else reader.reject(outcome?.reason);
      try {
        this.#fill();
      } catch (error) {
        this.#failReading(error);
      }
      this.#serve();
    };
    if (!addWaiter(future, { futureDone: arrived })) arrived();
  }

  /**
   * Ends the mapping: nothing more is read, what no worker has begun is cancelled. What is finished is still handed out;
   * then comes `failure`, if there is one.
   */
  #stop(failure: { reason: unknown } | undefined): void {
    this.#deadline?.clear();
    this.#inputEnded = true;
    this.#zip.close();
    const waiting = [...this.#awaited.values()];
    const unfinished = [...this.#awaited.keys()];
    this.#awaited.clear();
    const finished: Future<unknown>[] = [];
    let gap = waiting.length > 0;
    for (const future of this.#futures) {
      gap ||= !future.done();
      if (gap) unfinished.push(future);
      else finished.push(future);
    }
    this.#futures.clear();
    for (const future of finished) this.#futures.push(future);
    for (const future of unfinished) {
      disregard(future);
      future.cancel();
    }
    if (failure !== undefined) this.#failure = failure;
    else this.#failure = undefined;
    const [first, ...others] = waiting;
    if (this.#failure !== undefined && first !== undefined) {
      first.reject(this.#failure.reason);
      this.#failure = undefined;
    } else {
      first?.resolve(DONE);
    }
    for (const reader of others) reader.resolve(DONE);
    this.#serve();
  }
}

const nowhere = {
  check: () => undefined,
  submit: () => {
    throw new Error('There is nothing to submit');
  },
  hasRoom: () => true,
  ready: () => Promise.resolve(),
  signal: undefined,
};
keepExamples(createMapResult(nowhere, [[]]));
