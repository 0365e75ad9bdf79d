/**
 * What a pool of threads does on every runtime. Named cases and no tests, because they run where mocha does not: in Deno, in
 * Bun, and in pages that a bundler has made.
 */
import { expect } from 'chai';
import {
  asCompleted,
  BrokenThreadPool,
  CancelledError,
  ExecutorShutdownError,
  FIRST_COMPLETED,
  proxy,
  tasksFrom,
  ThreadPoolExecutor,
  type ThreadPoolExecutorOptions,
  TimeoutError,
  transfer,
  wait,
  WorkerDiedError,
} from 'concurrent-futures';
import type * as Tasks from './tasks.js';

/** What a case is run with. */
export interface Kit {
  /** A pool with the executor's own workers; ended after the case. */
  pool: (options?: ThreadPoolExecutorOptions) => ThreadPoolExecutor;
  /** A pool with workers of one's own, which offer `tasks`. */
  own: (options?: ThreadPoolExecutorOptions) => ThreadPoolExecutor;
  /** Whether threads can share memory here. */
  sharesMemory: boolean;
}

const tasks = tasksFrom<typeof Tasks>();

/** Bun cannot send web streams to its threads. */
const movesStreams = !('bun' in ((globalThis as Partial<typeof globalThis>).process?.versions ?? {}));

const loopForEver = (): never => {
  for (;;);
};

const busy = (ms: number): number => {
  const end = performance.now() + ms;
  while (performance.now() < end);
  return ms;
};

async function rejection(promise: PromiseLike<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error('it fulfilled');
}

/** Asks in each turn of timers whether it is so; a case that waits for too long is ended by its watchdog. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve));
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

const range = (length: number): number[] => Array.from({ length }, (_, i) => i);

export type Cases = Record<string, (kit: Kit) => Promise<void>>;

export const cases: Cases = {
  'a function is sent by its source to a worker of the executor': async ({ pool }) => {
    expect(await pool().submit((a: number, b: number) => a + b, 1, 2)).to.equal(3);
  },

  'a function of a module is called in a worker of one’s own': async ({ own }) => {
    expect(await own().submit(tasks.add, 3, 4)).to.equal(7);
  },

  'a function that the worker does not offer is told of by name': async ({ own }) => {
    const { nothing } = tasks as unknown as { nothing: () => void };
    expect((await rejection(own().submit(nothing))).message).to.contain('nothing');
  },

  'values arrive as they were': async ({ own }) => {
    const pool = own();
    for (const value of [
      undefined,
      null,
      -0,
      NaN,
      2n ** 100n,
      'Grüße, 日本語 🍏',
      new Date(5),
      /a+/giu,
      new Map([[{ key: 1 }, new Set(['x'])]]),
      Object.assign([1], { 2: 'after a hole' }),
      new Float64Array([1.5, NaN]),
      { list: [{ deep: [null, undefined] }] },
      new URL('https://example.org/a?b#c'),
    ]) {
      expect(await pool.submit(tasks.same, value)).to.deep.equal(value);
    }
    expect(await pool.submit(tasks.same, new Uint8Array(1_000_000).fill(3))).to.have.length(1_000_000);
    expect([...(await pool.submit(tasks.same, new Headers({ a: 'b' })))]).to.deep.equal([['a', 'b']]);
    if (!movesStreams) return;
    const response = await pool.submit(tasks.same, new Response('body', { status: 201, headers: { 'x-of': 'it' } }));
    expect([response.status, response.headers.get('x-of'), await response.text()]).to.deep.equal([201, 'it', 'body']);
  },

  'a request arrives, with its body where requests give it out': async ({ own }) => {
    const pool = own();
    const bare = new Request('https://example.org/a', { headers: { 'x-of': 'it' } });
    expect(await pool.submit(tasks.requestOf, bare)).to.deep.equal(['GET', 'https://example.org/a', 'it', '']);
    const post = new Request('https://example.org/b', { method: 'POST', body: 'words', headers: { 'x-of': 'it' } });
    const sent = pool.submit(tasks.requestOf, post);
    if (!movesStreams) {
      expect(await rejection(sent)).to.include({ name: 'DataCloneError' });
    } else if ('body' in Request.prototype) {
      expect(await sent).to.deep.equal(['POST', 'https://example.org/b', 'it', 'words']);
    } else {
      expect(await rejection(sent)).to.include({ name: 'DataCloneError' });
      expect((await rejection(sent)).message).to.match(/Request.*body/);
    }
  },

  'an error arrives as what it is': async ({ own }) => {
    const error = await rejection(own().submit(tasks.fail));
    expect(error).to.be.instanceOf(RangeError).and.to.include({ message: 'too much', limit: 3 });
    expect(error.cause).to.be.instanceOf(TypeError);
    // Firefox begins a stack with the first place, and has the message elsewhere.
    expect(error.stack).to.match(/too much|\.js:/);
  },

  'what cannot be cloned rejects with a DataCloneError that says where it is': async ({ own }) => {
    const error = await rejection(own().submit(tasks.same, { list: [1, () => 2] }));
    expect(error.name).to.equal('DataCloneError');
    expect(error.message).to.contain('list[1]');
    expect((await rejection(own().submit(() => () => 1))).name).to.equal('DataCloneError');
  },

  'map() gives results in the order of its items': async ({ pool }) => {
    expect(await pool({ maxWorkers: 2 }).map((a: number, b: number) => a * b, [1, 2, 3], [4, 5, 6])).to.deep.equal([
      4, 10, 18,
    ]);
  },

  'map() with a buffersize takes as much of an endless iterable as is wanted': async ({ own }) => {
    let taken = 0;
    const numbers = function* () {
      for (;;) yield taken++;
    };
    const results: number[] = [];
    for await (const result of own({ maxWorkers: 2 }).map(tasks.same<number>, numbers(), { buffersize: 8 })) {
      results.push(result);
      if (results.length === 100) break;
    }
    expect(results).to.deep.equal(range(100));
    expect(taken).to.be.below(120);
  },

  'stream() gives what a generator yields, and return() ends it': async ({ own }) => {
    const pool = own({ maxWorkers: 1 });
    expect(await all(pool.stream(tasks.count, 1000))).to.deep.equal(range(1000));
    for await (const item of pool.stream(tasks.count, Infinity)) if (item === 50) break;
    expect(await pool.submit(tasks.endedCounts)).to.equal(2);
  },

  'a callback is called from the worker': async ({ pool }) => {
    const heard: number[] = [];
    const report = proxy((n: number): number => heard.push(n));
    const counted = pool().submit(async (tell: (n: number) => unknown) => [await tell(50), await tell(100)], report);
    expect(await counted).to.deep.equal([1, 2]);
    expect(heard).to.deep.equal([50, 100]);
  },

  'buffers are moved there and back': async ({ own }) => {
    const pool = own();
    const bytes = new Uint8Array(1000);
    const args = [transfer(bytes, [bytes.buffer])] as const;
    expect(await pool.submit(tasks.same, ...args)).to.have.length(1000);
    expect(bytes).to.have.length(0);
    expect((await pool.submit(tasks.filled, 1000))[999]).to.equal(7);
  },

  'a stream of bytes is read in the worker': async ({ own }) => {
    if (!movesStreams) return;
    const { body } = new Response(new Uint8Array(300_000));
    expect(await own().submit(tasks.bytesIn, body as ReadableStream<Uint8Array>)).to.equal(300_000);
  },

  'a signal among the arguments is alive in the worker': async ({ own }) => {
    const pool = own();
    const controller = new AbortController();
    const waiting = pool.submit(tasks.untilAborted, controller.signal);
    await pool.submit(tasks.add, 1, 1);
    controller.abort('stopped');
    expect(await waiting).to.equal('stopped');
  },

  'currentTask() tells the task of its worker': async ({ own }) => {
    const pool = own({ maxWorkers: 1, threadNamePrefix: 'named' });
    expect(await pool.submit(tasks.whoAmI)).to.deep.equal({ worker: 'named_0', attempt: 1 });
  },

  'an object lives in a worker until it is released': async ({ own }) => {
    const pool = own({ maxWorkers: 1 });
    const counter = await pool.create(tasks.Counter, 5);
    expect(await counter.add(2)).to.equal(7);
    expect(await counter.add(2)).to.equal(9);
    expect(await rejection(counter.refuse())).to.be.instanceOf(SyntaxError);
    counter.release();
    await rejection(counter.add(1));
  },

  'calls on an object whose worker ends reject': async ({ own }) => {
    const pool = own({ maxWorkers: 1 });
    const counter = await pool.create(tasks.Counter, 5);
    expect((await rejection(counter.endWorker())).name).to.equal('WorkerDiedError');
    expect((await rejection(counter.add(1))).name).to.equal('WorkerDiedError');
    expect(await pool.submit(tasks.add, 1, 1)).to.equal(2);
  },

  'a task that ends its worker rejects with WorkerDiedError, and the next one runs in another': async ({ own }) => {
    const pool = own({ maxWorkers: 1 });
    const ending = pool.submit(tasks.endWorker);
    const next = pool.submit(tasks.add, 1, 1);
    expect(await rejection(ending)).to.be.instanceOf(WorkerDiedError);
    expect(await next).to.equal(2);
    await pool.shutdown();
  },

  'what is thrown where nobody catches it ends the worker, and is the cause': async ({ own }) => {
    const heard: unknown[] = [];
    const pool = own({ maxWorkers: 1, onWorkerError: (error) => heard.push(error) });
    for (const [callable, text] of [
      [tasks.throwLater, 'nobody catches this'],
      [tasks.rejectUnheard, 'nobody hears of this'],
    ] as const) {
      const error = await rejection(pool.submit(callable));
      expect(error).to.be.instanceOf(WorkerDiedError);
      expect(String(error.cause)).to.contain(text);
      expect(await pool.submit(tasks.add, 1, 1)).to.equal(2);
    }
    expect(heard).to.have.length(0);
  },

  'a time limit ends a busy loop, and the next task runs': async ({ pool }) => {
    const executor = pool({ maxWorkers: 1 });
    expect(await rejection(executor.with({ timeout: 100 }).submit(loopForEver))).to.be.instanceOf(TimeoutError);
    expect(await executor.submit(() => 1)).to.equal(1);
  },

  'a signal ends a busy loop, and what waited behind it runs': async ({ pool }) => {
    const executor = pool({ maxWorkers: 1 });
    await executor.submit(() => 1);
    const controller = new AbortController();
    const looping = executor.with({ signal: controller.signal }).submit(loopForEver);
    const behind = executor.submit(() => 2);
    await until(() => looping.running());
    controller.abort(new Error('stopped'));
    expect((await rejection(looping)).message).to.equal('stopped');
    expect(await behind).to.equal(2);
  },

  'a task that waits is cancelled and never runs; one that runs is not': async ({ own }) => {
    const pool = own({ maxWorkers: 1 });
    const controller = new AbortController();
    const running = pool.submit(tasks.untilAborted, controller.signal);
    const waiting = pool.submit(tasks.add, 1, 1);
    await until(() => running.running());
    expect([running.cancel(), waiting.cancel(), waiting.cancelled()]).to.deep.equal([false, true, true]);
    controller.abort();
    await running;
    expect(await rejection(waiting)).to.be.instanceOf(CancelledError);
    expect(pool.stats()).to.include({ completed: 1, cancelled: 1 });
  },

  'of many tasks each one ends, and runs or is cancelled': async ({ own }) => {
    const pool = own({ maxWorkers: 2 });
    const futures = range(5000).map((n) => pool.submit(tasks.same, n));
    const cancelled = new Set(futures.filter((future, n) => n % 3 === 0 && future.cancel()));
    const { done, notDone } = await wait(futures);
    expect([done.size, notDone.size]).to.deep.equal([5000, 0]);
    const expected = range(5000).filter((n) => !cancelled.has(futures[n]!));
    expect(await Promise.all(expected.map((n) => futures[n]!))).to.deep.equal(expected);
    expect(pool.stats()).to.include({
      submitted: 5000,
      completed: 5000 - cancelled.size,
      cancelled: cancelled.size,
      queued: 0,
      running: 0,
    });
  },

  'wait() and asCompleted() tell what ends first': async ({ own }) => {
    const pool = own({ maxWorkers: 2 });
    const controller = new AbortController();
    const slow = pool.submit(tasks.untilAborted, controller.signal);
    const quick = pool.submit(tasks.add, 1, 1);
    const { done } = await wait([slow, quick], { returnWhen: FIRST_COMPLETED });
    expect([...done]).to.deep.equal([quick]);
    expect(await rejection(slow.result(1))).to.be.instanceOf(TimeoutError);
    const order: unknown[] = [];
    for await (const future of asCompleted<unknown>([slow, quick])) {
      order.push(await future);
      controller.abort('late');
    }
    expect(order).to.deep.equal([2, 'late']);
  },

  'urgent tasks go first': async ({ own }) => {
    const pool = own({ maxWorkers: 1 });
    const controller = new AbortController();
    const first = pool.submit(tasks.untilAborted, controller.signal);
    const ends: number[] = [];
    const futures = [0, 5, 1, 9].map((priority) => {
      const future = pool.with({ priority }).submit(tasks.same, priority);
      future.addDoneCallback(() => ends.push(priority));
      return future;
    });
    controller.abort();
    await wait([first, ...futures]);
    expect(ends).to.deep.equal([9, 5, 1, 0]);
  },

  'a worker runs several tasks at once when told to': async ({ own }) => {
    const pool = own({ maxWorkers: 1, concurrentTasksPerWorker: 3 });
    const controller = new AbortController();
    const waiting = range(2).map(() => pool.submit(tasks.untilAborted, controller.signal));
    expect(await pool.submit(tasks.add, 1, 1)).to.equal(2);
    controller.abort('now');
    expect(await Promise.all(waiting)).to.deep.equal(['now', 'now']);
  },

  'a task that is retried runs in the next worker': async ({ own }) => {
    const pool = own({ maxWorkers: 1 });
    const died = await rejection(pool.with({ retries: 1 }).submit(tasks.endWorker));
    expect(died).to.be.instanceOf(WorkerDiedError);
    expect(pool.stats()).to.include({ failed: 1 });
  },

  'an initializer prepares each worker; one that fails breaks the pool': async ({ pool }) => {
    const prepared = pool({
      initializer: (word: string) => {
        (globalThis as { word?: string }).word = word;
      },
      initargs: ['ready'],
    });
    expect(await prepared.submit(() => (globalThis as { word?: string }).word)).to.equal('ready');
    const broken = pool({
      initializer: () => {
        throw new Error('no luck');
      },
    });
    expect(await rejection(broken.submit(() => 1))).to.be.instanceOf(BrokenThreadPool);
  },

  'workers are replaced after maxTasksPerWorker tasks': async ({ own }) => {
    const pool = own({ maxWorkers: 1, maxTasksPerWorker: 2, threadNamePrefix: 'w' });
    const workers: string[] = [];
    for (let i = 0; i < 5; i++) workers.push((await pool.submit(tasks.whoAmI)).worker);
    expect(workers).to.deep.equal(['w_0', 'w_0', 'w_1', 'w_1', 'w_2']);
  },

  'resize() changes how many workers there are': async ({ pool }) => {
    const executor = pool({ maxWorkers: 3, minWorkers: 3 });
    await executor.resize({ maxWorkers: 1, minWorkers: 1 });
    await executor.submit(() => 1);
    await until(() => executor.stats().workers === 1);
  },

  'shutdown() waits for what was submitted, or cancels what waits': async ({ own }) => {
    const patient = own({ maxWorkers: 1 });
    const futures = range(20).map((n) => patient.submit(tasks.same, n));
    await patient.shutdown();
    expect(futures.every((future) => future.done())).to.equal(true);
    const hasty = own({ maxWorkers: 1 });
    const controller = new AbortController();
    const running = hasty.submit(tasks.untilAborted, controller.signal);
    await until(() => running.running());
    const waiting = hasty.submit(tasks.add, 1, 1);
    const end = hasty.shutdown({ cancelFutures: true });
    expect(waiting.cancelled()).to.equal(true);
    controller.abort('over');
    await end;
    expect(await running).to.equal('over');
    expect(() => hasty.submit(tasks.add, 1, 1)).to.throw(ExecutorShutdownError);
  },

  'terminateWorkers() ends what runs': async ({ pool }) => {
    const executor = pool({ maxWorkers: 2 });
    const looping = [executor.submit(loopForEver), executor.submit(loopForEver)];
    const waiting = executor.submit(busy, 1);
    await until(() => looping.every((future) => future.running()));
    await executor.terminateWorkers();
    for (const future of [...looping, waiting]) expect(await rejection(future)).to.be.instanceOf(BrokenThreadPool);
    expect(executor.stats().workers).to.equal(0);
  },

  'stats() measures on one clock': async ({ pool }) => {
    const executor = pool({ maxWorkers: 1 });
    await executor.submit(busy, 20);
    const { runTime, waitTime } = executor.stats();
    expect(runTime.max).to.be.within(19, 10_000);
    expect(waitTime.max).to.be.within(0, 10_000);
  },

  'memory is shared where it can be': async ({ pool, sharesMemory }) => {
    if (!sharesMemory) return;
    const cell = new Int32Array(new SharedArrayBuffer(4));
    await pool().submit((shared: Int32Array) => Atomics.store(shared, 0, 7), cell);
    expect(Atomics.load(cell, 0)).to.equal(7);
  },
};
