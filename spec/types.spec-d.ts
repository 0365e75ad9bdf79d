/**
 * What the compiler must say, and must not say, about calls. Nothing here is run: that this file compiles is the test.
 */
/* eslint-disable @typescript-eslint/no-unsafe-argument -- what the compiler refuses has no type */
import {
  type Executor,
  type Future,
  type MapResult,
  task,
  tasksFrom,
  ThreadPoolExecutor,
  wait,
  asCompleted,
} from 'concurrent-futures';
import { add } from './fixtures/tasks.js';

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
interface Expected<A> {
  toBe: <B>(...mismatch: Same<A, B> extends true ? [] : [expected: B, received: A]) => void;
}

/** `typed(value).toBe<Type>()` compiles when the value is of exactly this type. */
declare function typed<A>(value: A): Expected<A>;

declare const executor: ThreadPoolExecutor;

export async function resultsAreInferred(): Promise<void> {
  typed(executor.submit((a: number, b: string) => a + b.length, 1, 'x')).toBe<Future<number>>();
  typed(executor.submit(async () => Promise.resolve('text'))).toBe<Future<string>>();
  typed(executor.submit(() => undefined)).toBe<Future<undefined>>();
  typed(await executor.submit((a: number) => ({ a }), 1)).toBe<{ a: number }>();
  typed(await executor.submit(() => 1).result(5)).toBe<number>();
  typed(executor.submit(add, 1, 2)).toBe<Future<number>>();
  typed(executor.with({ retries: 1 }).submit(async (a: number) => Promise.resolve([a]), 1)).toBe<Future<number[]>>();
  // Parameters without types take those of the arguments.
  typed(executor.submit((a, b) => a * b, 2, 3)).toBe<Future<number>>();
  // Parameters with defaults may be left out.
  typed(executor.submit((a: number, b?: string) => `${String(a)}${b ?? ''}`, 1)).toBe<Future<string>>();
  typed(executor.submit((...all: number[]) => all.length, 1, 2, 3)).toBe<Future<number>>();
}

export async function mapsAreInferred(): Promise<void> {
  typed(executor.map((a: number) => String(a), [1, 2])).toBe<MapResult<string>>();
  typed(await executor.map((a: number, b: string) => a + b.length, [1], ['x'])).toBe<number[]>();
  typed(await executor.map(async (a: number) => Promise.resolve(a > 1), new Set([1]), { buffersize: 2 })).toBe<
    boolean[]
  >();
  typed(await executor.with({ priority: 1 }).map(add, [1], [2])).toBe<number[]>();
  for await (const item of executor.map((a: number) => [a], [1])) typed(item).toBe<number[]>();
  async function* numbers(): AsyncGenerator<number> {
    yield await Promise.resolve(1);
  }
  typed(await executor.map((a: number) => a, numbers())).toBe<number[]>();
}

export function wrongArgumentsAreErrors(): void {
  // @ts-expect-error a string is no number
  executor.submit((a: number) => a, 'text');
  // @ts-expect-error an argument is missing
  executor.submit((a: number, b: number) => a + b, 1);
  // @ts-expect-error there is one argument too many
  executor.submit((a: number) => a, 1, 2);
  // @ts-expect-error a string is no number, for tagged functions too
  executor.submit(add, 1, 'text');
  // @ts-expect-error a number is no callable
  executor.submit(5);
  // @ts-expect-error there is no callable
  executor.submit();
  // @ts-expect-error a string is no number, under options too
  executor.with({}).submit((a: number) => a, 'text');
  // @ts-expect-error an iterable of strings is none of numbers
  executor.map((a: number) => a, ['text']);
  // @ts-expect-error the second iterable is missing
  executor.map((a: number, b: number) => a + b, [1]);
  // @ts-expect-error a number is no iterable
  executor.map((a: number) => a, 5);
  // @ts-expect-error a buffersize is a number
  executor.map((a: number) => a, [1], { buffersize: 'two' });
  // @ts-expect-error there is no such option
  executor.map((a: number) => a, [1], { bufferSize: 2 });
}

export function wrongOptionsAreErrors(): void {
  // @ts-expect-error there is no such option
  new ThreadPoolExecutor({ maxworkers: 2 });
  // @ts-expect-error a number of workers is a number
  new ThreadPoolExecutor('2');
  // @ts-expect-error a time limit is a number of ms
  executor.with({ timeout: '5s' });
  // @ts-expect-error there is no such option
  executor.with({ retry: 2 });
  // @ts-expect-error there is no such option
  void executor.shutdown({ cancel: true });
  // @ts-expect-error there is no such option
  void executor.resize({ workers: 2 });
}

export function modulesAreTyped(): void {
  const tasks = tasksFrom<typeof import('./fixtures/tasks.js')>(new URL('./fixtures/tasks.js', import.meta.url));
  typed(executor.submit(tasks.add, 1, 2)).toBe<Future<number>>();
  typed(executor.submit(tasks.untagged, 1)).toBe<Future<number>>();
  // @ts-expect-error there is no such export
  executor.submit(tasks.addd, 1, 2);
  // @ts-expect-error this export is no function
  executor.submit(tasks.constant);
  // @ts-expect-error a string is no number
  executor.submit(tasks.add, 1, 'text');
  const double = task(import.meta.url, function double(x: number) {
    return x * 2;
  });
  typed(double).toBe<(x: number) => number>();
}

export async function futuresAreTyped(future: Future<number>): Promise<void> {
  typed(await future).toBe<number>();
  typed(await future.exception()).toBe<unknown>();
  typed(future.outcome()).toBe<PromiseSettledResult<number> | undefined>();
  typed((await wait([future])).done).toBe<Set<Future<number>>>();
  const step = await asCompleted([future]).next();
  if (step.done !== true) typed(step.value).toBe<Future<number>>();
  future.addDoneCallback((done) => {
    typed(done).toBe<Future<number>>();
  });
  // @ts-expect-error FIRST is no way to return
  await wait([future], { returnWhen: 'FIRST' });
  // @ts-expect-error futures are made by executors and by Future.withResolvers
  new (future.constructor as typeof Future)();
}

export function everyPoolIsAnExecutor(): Executor {
  return executor;
}

export function streamsAreOfGenerators(): void {
  typed(executor.stream(function* (n: number) { yield n; }, 3)).toBe<AsyncIterableIterator<number>>(); // prettier-ignore
  typed(executor.stream(async function* () { yield Promise.resolve('x'); })).toBe<AsyncIterableIterator<string>>(); // prettier-ignore
  const late = (): Promise<Generator<number, void, void>> => import('./fixtures/tasks.js').then(() => (function* () { yield 1; })()); // prettier-ignore
  typed(executor.stream(late)).toBe<AsyncIterableIterator<number>>();
  // @ts-expect-error it is no generator
  executor.stream(() => 1);
  // @ts-expect-error a list is no generator
  executor.stream(() => [1, 2]);
  // @ts-expect-error the argument has another type
  executor.stream(function* (n: number) { yield n; }, 'x'); // prettier-ignore
}
