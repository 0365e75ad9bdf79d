import { Future, type FutureResolvers } from 'concurrent-futures';

/** A future that nobody has begun, with its writing side. */
export function pending<T = unknown>(): FutureResolvers<T> {
  return Future.withResolvers<T>();
}

/** A future that was begun, with its writing side. */
export function running<T = unknown>(): FutureResolvers<T> {
  const made = Future.withResolvers<T>();
  made.setRunningOrNotifyCancel();
  return made;
}

/** A future that was cancelled while pending, with its writing side. */
export function cancelled<T = unknown>(): FutureResolvers<T> {
  const made = Future.withResolvers<T>();
  made.future.cancel();
  return made;
}

/** A future that ended with an error. Marked as looked at, so that no spec leaves a warning behind. */
export function failed<T = unknown>(...given: [error?: unknown]): FutureResolvers<T> {
  const error = given.length === 0 ? new Error('boom') : given[0]; // The error may be undefined itself.
  const made = running<T>();
  made.setException(error);
  made.future.outcome();
  return made;
}

/** A future that ended with a value, with its writing side. */
export function succeeded<T = unknown>(value: T): FutureResolvers<T> {
  const made = running<T>();
  made.setResult(value);
  return made;
}

/** One future in each state, by the state's name. */
export function inEveryState(): Record<
  'pending' | 'running' | 'cancelled' | 'failed' | 'succeeded',
  FutureResolvers<unknown>
> {
  return {
    pending: pending(),
    running: running(),
    cancelled: cancelled(),
    failed: failed(),
    succeeded: succeeded(42),
  };
}
