import { addWaiter, Future, hasFailed, removeWaiter, type Waiter } from './future.js';
import { checkSignal, readOptions, show } from './options.js';
import { checkTimeout, Deadline } from './timeouts.js';

/** For {@link wait}: return when every future is done. */
export const ALL_COMPLETED = 'ALL_COMPLETED';
/** For {@link wait}: return when any future is done. */
export const FIRST_COMPLETED = 'FIRST_COMPLETED';
/** For {@link wait}: return when any future has failed, or when all are done. Cancelled futures have not failed. */
export const FIRST_EXCEPTION = 'FIRST_EXCEPTION';

/** Options of {@link wait}. */
export interface WaitOptions {
  /** ms to wait at most; what is done by then is returned. No limit by default. */
  timeout?: number | undefined;
  /** What to wait for. @default ALL_COMPLETED */
  returnWhen?: typeof ALL_COMPLETED | typeof FIRST_COMPLETED | typeof FIRST_EXCEPTION | undefined;
  /** Ends the wait: `wait` rejects with the signal's reason. The tasks go on. */
  signal?: AbortSignal | undefined;
}

/** What {@link wait} found, for futures of a type `F`. */
export interface WaitResultOf<F> {
  /** The futures that are finished or cancelled. */
  done: Set<F>;
  /** The others. */
  notDone: Set<F>;
}

/** What {@link wait} found. */
export type WaitResult<T> = WaitResultOf<Future<T>>;

/**
 * Waits for futures, which may come from different executors. A future given twice counts once.
 *
 * Follows `concurrent.futures.wait` of Python 3.14.
 *
 * @param futures - the futures to wait for
 * @param options - how long, and for which of them
 * @returns the futures in two sets; when `timeout` passes first, with what is done by then
 * @throws RangeError for an unknown `returnWhen`
 * @throws TypeError for something that is not a future
 * @throws the signal's reason (rejects) when `signal` is aborted
 *
 * @example
 * ```ts
 * import { FIRST_COMPLETED, ThreadPoolExecutor, wait } from 'concurrent-futures';
 *
 * const executor = new ThreadPoolExecutor();
 * const futures = [1, 2, 3].map((n) => executor.submit((x: number) => x * x, n));
 * const { done, notDone } = await wait(futures, { returnWhen: FIRST_COMPLETED });
 * console.log(done.size + notDone.size); // 3
 * ```
 */
export function wait<T>(futures: Iterable<Future<T>>, options?: WaitOptions): Promise<WaitResult<T>>;
/** The same, for futures of different types. */
export function wait<F extends Future<unknown>>(futures: Iterable<F>, options?: WaitOptions): Promise<WaitResultOf<F>>;
export async function wait<T>(futures: Iterable<Future<T>>, options?: WaitOptions): Promise<WaitResult<T>> {
  const { timeout: limit, returnWhen = ALL_COMPLETED, signal } = readOptions(options, 'wait');
  const timeout = checkTimeout(limit);
  checkSignal(signal);
  if (returnWhen !== ALL_COMPLETED && returnWhen !== FIRST_COMPLETED && returnWhen !== FIRST_EXCEPTION) {
    throw new RangeError(
      `'returnWhen' must be ALL_COMPLETED, FIRST_COMPLETED or FIRST_EXCEPTION: received ${show(returnWhen)}`,
    );
  }
  const all = distinctFutures(futures, 'wait');
  signal?.throwIfAborted();

  const enough = (future: Future<unknown>) =>
    returnWhen === FIRST_COMPLETED || (returnWhen === FIRST_EXCEPTION && hasFailed(future));
  let unfinished = 0;
  let satisfied = false;
  for (const future of all) {
    if (!future.done()) unfinished++;
    else if (enough(future)) satisfied = true;
  }
  if (unfinished > 0 && !satisfied && timeout !== 0) {
    await new Promise<void>((resolve, reject) => {
      const stop = () => {
        deadline.clear();
        for (const future of all) removeWaiter(future, waiter);
      };
      const waiter: Waiter = {
        futureDone: (future) => {
          unfinished--;
          if (unfinished > 0 && !enough(future)) return;
          stop();
          resolve();
        },
      };
      const deadline = new Deadline(
        timeout,
        () => {
          stop();
          resolve();
        },
        signal,
        (reason) => {
          stop();
          reject(reason);
        },
      );
      for (const future of all) addWaiter(future, waiter);
    });
  }
  const done = new Set<Future<T>>();
  const notDone = new Set<Future<T>>();
  for (const future of all) (future.done() ? done : notDone).add(future);
  return { done, notDone };
}

/** The distinct futures of an iterable, in their order. */
export function distinctFutures<T>(futures: Iterable<Future<T>>, action: string): Set<Future<T>> {
  const given: unknown = futures;
  if (typeof given !== 'object' || given === null || !(Symbol.iterator in given)) {
    throw new TypeError(`${action} needs an iterable of futures: received ${given === null ? 'null' : typeof given}`);
  }
  const all = new Set<Future<T>>();
  let position = 0;
  for (const future of futures) {
    if (!(future instanceof Future)) {
      throw new TypeError(`${action} needs futures: the entry at position ${String(position)} is ${show(future)}`);
    }
    all.add(future);
    position++;
  }
  return all;
}
