/** What the worker of one's own offers in the cases for all runtimes. */
import { currentTask } from 'concurrent-futures/worker';
import { transfer } from 'concurrent-futures';

const own = globalThis as unknown as { ended?: number; close?: () => void };

export const add = (a: number, b: number): number => a + b;

export const same = <T>(value: T): T => value;

export function* count(end: number): Generator<number, void> {
  try {
    for (let i = 0; i < end; i++) yield i;
  } finally {
    own.ended = (own.ended ?? 0) + 1;
  }
}

export const endedCounts = (): number => own.ended ?? 0;

/** The class of a value, where it is known by its tag, and what is the same on both sides if it is the same value. */
export const kindOf = (value: unknown): string => Object.prototype.toString.call(value).slice(8, -1);

export const fail = (): never => {
  throw Object.assign(new RangeError('too much', { cause: new TypeError('of it') }), { limit: 3 });
};

export const filled = (length: number): Uint8Array => {
  const bytes = new Uint8Array(length).fill(7);
  return transfer(bytes, [bytes.buffer]);
};

export const untilAborted = (signal: AbortSignal): Promise<string> =>
  new Promise((resolve) => {
    const tell = () => {
      resolve(String(signal.reason));
    };
    if (signal.aborted) tell();
    else signal.addEventListener('abort', tell);
  });

export const untilStopped = (): Promise<string> => untilAborted(currentTask().signal);

export const whoAmI = () => ({ worker: currentTask().worker, attempt: currentTask().attempt });

export async function bytesIn(stream: ReadableStream<Uint8Array>): Promise<number> {
  let length = 0;
  const reader = stream.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return length;
    length += value.length;
  }
}

export async function requestOf(request: Request): Promise<string[]> {
  return [request.method, request.url, String(request.headers.get('x-of')), await request.text()];
}

/** Ends its worker: as a program would, in Node and the like by process.exit(), in a browser by close(). */
export function endWorker(): Promise<never> {
  if (typeof process === 'object' && typeof process.exit === 'function') process.exit(3);
  own.close?.();
  return new Promise(() => undefined);
}

export function throwLater(): Promise<never> {
  setTimeout(() => {
    throw new Error('nobody catches this');
  });
  return new Promise(() => undefined);
}

export function rejectUnheard(): Promise<never> {
  void Promise.reject(new Error('nobody hears of this'));
  return new Promise(() => undefined);
}

export class Counter {
  #count: number;
  constructor(count: number) {
    this.#count = count;
  }
  add(n: number): number {
    return (this.#count += n);
  }
  refuse(): never {
    throw new SyntaxError('no');
  }
  endWorker(): Promise<never> {
    return endWorker();
  }
}
