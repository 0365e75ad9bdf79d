import { setTimeout as sleep } from 'node:timers/promises';
import { AssertionError } from 'chai';

/** ms after which a wait counts as a deadlock: far above what a loaded machine needs, below mocha's own limit. */
export const PATIENCE = 12_000;

/** As they were when this was loaded: a test may fake them. */
const { setTimeout, clearTimeout } = globalThis;

/** What a watchdog throws: no error that a task could have ended with. */
export class DeadlockError extends Error {
  override readonly name = 'DeadlockError';
}

/** The promise's own outcome, or a `DeadlockError` when there is none after `ms`: a test that would hang fails instead. */
export async function withWatchdog<T>(promise: PromiseLike<T>, ms: number, what: string): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const barking = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(new DeadlockError(`${what} took more than ${String(ms)} ms`));
    }, ms);
  });
  try {
    return await Promise.race([promise, barking]);
  } finally {
    clearTimeout(timer);
  }
}

/** `withWatchdog` with the usual patience. */
export function settled<T>(promise: PromiseLike<T>, what = 'what the test waits for'): Promise<T> {
  return withWatchdog(promise, PATIENCE, what);
}

/** What the promise rejects with; an assertion error when it fulfils, a `DeadlockError` when it does neither. */
export async function rejectionOf(promise: PromiseLike<unknown>, what = 'the rejection'): Promise<unknown> {
  let value: unknown;
  try {
    value = await settled(promise, what);
  } catch (reason) {
    if (reason instanceof DeadlockError || reason instanceof AssertionError) throw reason;
    return reason;
  }
  throw new AssertionError(`expected ${what}, but it fulfilled with ${String(value)}`);
}

/** As `rejectionOf`, and the reason is of this class. */
export async function rejectionAs<E>(
  promise: PromiseLike<unknown>,
  errorClass: abstract new (...args: never[]) => E,
  what?: string,
): Promise<E> {
  return instance(await rejectionOf(promise, what), errorClass);
}

/** What the call throws, which is of this class. */
export function thrownBy<E>(call: () => unknown, errorClass: abstract new (...args: never[]) => E): E {
  let value: unknown;
  try {
    value = call();
  } catch (error) {
    return instance(error, errorClass);
  }
  throw new AssertionError(`expected the call to throw ${errorClass.name}, but it returned ${String(value)}`);
}

/** The value itself, which is of this class. */
export function instance<E>(value: unknown, errorClass: abstract new (...args: never[]) => E): E {
  if (value instanceof errorClass) return value;
  const text = value instanceof Error ? (value.stack ?? String(value)) : String(value);
  throw new AssertionError(`expected an instance of ${errorClass.name}: got ${text}`);
}

/** Waits for what no event announces, such as the number of workers that have ended. */
export async function eventually(check: () => boolean, what: string): Promise<void> {
  const end = performance.now() + PATIENCE;
  while (!check()) {
    if (performance.now() > end) throw new DeadlockError(`${what}: still not so after ${String(PATIENCE)} ms`);
    await sleep(5);
  }
}

/** Lets messages and timers that are due go through; for what must hold before and after, never as a wait for something. */
export async function turns(count = 3): Promise<void> {
  for (let i = 0; i < count; i++) await sleep(1);
}
