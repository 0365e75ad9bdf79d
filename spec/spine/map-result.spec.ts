import { getEventListeners } from 'node:events';
import { expect } from 'chai';
import { CancelledError, TimeoutError, type MapOptions, type MapProgress, type MapResult } from 'concurrent-futures';
import { consoleErrors } from '../support/console.js';
import { useFakeClock } from '../support/fake-clock.js';
import { collectGarbage } from '../support/garbage.js';
import { HandMadeExecutor } from '../support/hand-made-executor.js';
import { flushMicrotasks, rejection, stateOf } from '../support/promises.js';

const END = { value: undefined, done: true };
const square = (x: number) => x * x;
const add = (x: number, y: number) => x + y;

/** An input that counts how many items were taken from it, and whether it was closed. */
class Counted implements Iterable<number> {
  taken = 0;
  closed = 0;
  readonly #end: number;

  constructor(end = Infinity) {
    this.#end = end;
  }

  [Symbol.iterator](): Iterator<number> {
    return {
      next: () => (this.taken < this.#end ? { value: this.taken++, done: false } : { value: undefined, done: true }),
      return: () => {
        this.closed++;
        return { value: undefined, done: true };
      },
    };
  }
}

/** The same, asynchronously. */
class AsyncCounted implements AsyncIterable<number> {
  readonly counted: Counted;

  constructor(end = Infinity) {
    this.counted = new Counted(end);
  }

  [Symbol.asyncIterator](): AsyncIterator<number> {
    const iterator = this.counted[Symbol.iterator]();
    return {
      next: () => Promise.resolve(iterator.next()),
      return: () => Promise.resolve(iterator.return?.() ?? { value: undefined, done: true }),
    };
  }
}

async function collect<R>(results: MapResult<R>): Promise<R[]> {
  const all: R[] = [];
  for await (const result of results) all.push(result);
  return all;
}

describe('map', () => {
  let executor: HandMadeExecutor;
  beforeEach(() => {
    executor = new HandMadeExecutor();
  });

  describe('results', () => {
    it('map gives the results in the order of the input, however the tasks end', async () => {
      const collecting = collect(executor.map(square, [1, 2, 3]));
      for (const index of [2, 0, 1]) executor.run(index);
      expect(await collecting).to.deep.equal([1, 4, 9]);
    });

    it('map gives an array to await', async () => {
      const results = executor.map(square, [1, 2, 3]);
      for (const index of [1, 2, 0]) executor.run(index);
      expect(await results).to.deep.equal([1, 4, 9]);
      expect(await results).to.deep.equal([1, 4, 9]);
    });

    it('map gives each result as soon as it and those before it are there', async () => {
      const results = executor.map(square, [1, 2]);
      const first = results.next();
      executor.run(1);
      expect(await stateOf(first)).to.equal('pending');
      executor.run(0);
      expect(await first).to.deep.equal({ value: 1, done: false });
      expect(await results.next()).to.deep.equal({ value: 4, done: false });
      expect(await results.next()).to.deep.equal(END);
    });

    it('map stays done after its end', async () => {
      const results = executor.runAtOnce().map(square, [1]);
      await results.next();
      for (let i = 0; i < 3; i++) expect(await results.next()).to.deep.equal(END);
    });

    it('map serves concurrent calls of next() each with its own item, and ends those left over', async () => {
      const results = executor.map(square, [1, 2, 3]);
      const calls = [results.next(), results.next(), results.next(), results.next()];
      for (const index of [2, 1, 0]) executor.run(index);
      expect(await Promise.all(calls)).to.deep.equal([
        { value: 1, done: false },
        { value: 4, done: false },
        { value: 9, done: false },
        END,
      ]);
    });

    it('map of an empty input has no results', async () => {
      expect(await executor.map(square, [])).to.deep.equal([]);
      expect(await collect(executor.map(square, []))).to.deep.equal([]);
    });

    it('map gives the rest to await after some were taken by next()', async () => {
      const results = executor.runAtOnce().map(square, [1, 2, 3]);
      await results.next();
      expect(await results).to.deep.equal([4, 9]);
    });

    it('map is its own iterator', () => {
      const results = executor.map(square, []);
      expect(results[Symbol.asyncIterator]()).to.equal(results);
    });

    it('map submits nothing twice and passes the callable on', async () => {
      await executor.runAtOnce().map(square, [1, 2]);
      expect(executor.tasks.map(({ callable, args }) => ({ callable, args }))).to.deep.equal([
        { callable: square, args: [1] },
        { callable: square, args: [2] },
      ]);
    });

    it('map accepts a chunksize, which changes nothing', async () => {
      executor.runAtOnce();
      expect(await executor.map(add, [1, 2, 3, 4], [1, 1, 1, 1], { chunksize: 3 })).to.deep.equal([2, 3, 4, 5]);
      expect(executor.tasks).to.have.length(4);
    });
  });

  describe('inputs', () => {
    it('map takes an argument from each of several iterables, and stops at the shortest', async () => {
      executor.runAtOnce();
      expect(await executor.map(add, [1, 2, 3], [10, 20])).to.deep.equal([11, 22]);
      expect(await executor.map(add, [1, 2], new Set([10, 20, 30]))).to.deep.equal([11, 22]);
    });

    it('map submits everything at once without a buffersize', () => {
      const input = new Counted(100);
      void executor.map(square, input);
      expect(input.taken).to.equal(100);
      expect(executor.tasks).to.have.length(100);
    });

    it('map takes strings, generators and typed arrays', async () => {
      executor.runAtOnce();
      const upper = (letter: string) => letter.toUpperCase();
      const generate = function* () {
        yield 2;
        yield 3;
      };
      expect(await executor.map(upper, 'abc')).to.deep.equal(['A', 'B', 'C']);
      expect(await executor.map(square, generate())).to.deep.equal([4, 9]);
      expect(await executor.map(square, Uint8Array.of(4, 5))).to.deep.equal([16, 25]);
    });

    it('map takes async iterables, also mixed with sync ones', async () => {
      executor.runAtOnce();
      expect(await executor.map(square, new AsyncCounted(4))).to.deep.equal([0, 1, 4, 9]);
      expect(await executor.map(add, new AsyncCounted(), [10, 20])).to.deep.equal([10, 21]);
      expect(await executor.map(add, [10, 20], new AsyncCounted())).to.deep.equal([10, 21]);
    });

    it('map takes pairs from one iterator that is given twice', async () => {
      const numbers = [1, 2, 3, 4].values();
      expect(await executor.runAtOnce().map(add, numbers, numbers)).to.deep.equal([3, 7]);
    });

    it('map begins to read an async input at the call', () => {
      const input = new AsyncCounted();
      void executor.map(square, input, { buffersize: 2 });
      expect(input.counted.taken).to.equal(1);
    });

    it('map hands async items on while the input is still being read', async () => {
      let release: () => void = () => undefined;
      const gate = new Promise<void>((resolve) => {
        release = resolve;
      });
      const input = (async function* () {
        yield 2;
        await gate;
        yield 3;
      })();
      const results = executor.runAtOnce().map(square, input);
      expect(await results.next()).to.deep.equal({ value: 4, done: false });
      release();
      expect(await results.next()).to.deep.equal({ value: 9, done: false });
      expect(await results.next()).to.deep.equal(END);
    });

    it('map closes the other inputs when the shortest has ended, and that one not', async () => {
      executor.runAtOnce();
      const [long, short, unread] = [new Counted(), new Counted(2), new Counted()];
      const add3 = (a: number, b: number, c: number) => a + b + c;
      expect(await executor.map(add3, long, short, unread)).to.deep.equal([0, 3]);
      expect([long.closed, short.closed, unread.closed]).to.deep.equal([1, 0, 1]);
    });

    it('map closes the other async inputs when the shortest has ended, and that one not', async () => {
      executor.runAtOnce();
      const [long, short] = [new AsyncCounted(), new AsyncCounted(2)];
      expect(await executor.map(add, long, short)).to.deep.equal([0, 2]);
      expect([long.counted.closed, short.counted.closed]).to.deep.equal([1, 0]);
    });
  });

  describe('buffersize', () => {
    it('map takes exactly so many items at the call', () => {
      for (const buffersize of [1, 2, 7]) {
        const input = new Counted();
        void executor.map(square, input, { buffersize });
        expect(input.taken).to.equal(buffersize);
      }
    });

    it('map takes as many async items, and no more', async () => {
      const input = new AsyncCounted();
      void executor.map(square, input, { buffersize: 3 });
      await flushMicrotasks();
      expect(input.counted.taken).to.equal(3);
      expect(executor.tasks).to.have.length(3);
    });

    it('map counts an item that a pending next() waits for', async () => {
      const input = new Counted();
      const results = executor.map(square, input, { buffersize: 2 });
      const first = results.next();
      await flushMicrotasks();
      expect(input.taken).to.equal(2);
      executor.run(0);
      await first;
      expect(input.taken).to.equal(3);
      const calls = [results.next(), results.next(), results.next()];
      await flushMicrotasks();
      expect(input.taken).to.equal(3);
      executor.run(1);
      executor.run(2);
      await Promise.all(calls.slice(0, 2));
      expect(input.taken).to.equal(5);
      await results.return();
      expect(await calls[2]).to.deep.equal(END);
    });

    it('map takes no item because a task has ended: only handing out makes room', async () => {
      const input = new Counted();
      void executor.map(square, input, { buffersize: 2 });
      executor.run(0);
      executor.run(1);
      await flushMicrotasks();
      expect(input.taken).to.equal(2);
    });

    it('map takes one more for a failed item that was handed out', async () => {
      const input = new Counted();
      const results = executor.map(square, input, { buffersize: 1 });
      executor.task(0).setException(new Error('boom'));
      await rejection(results.next());
      expect(input.taken).to.equal(2);
    });

    it('map has all results of an input that is shorter than, as long as, or longer than the buffer', async () => {
      executor.runAtOnce();
      for (const length of [0, 1, 2, 3, 4, 10]) {
        const expected = Array.from({ length }, (_, i) => i * i);
        expect(await executor.map(square, new Counted(length), { buffersize: 3 })).to.deep.equal(expected);
        expect(await executor.map(square, new AsyncCounted(length), { buffersize: 3 })).to.deep.equal(expected);
      }
    });

    it('map reads an endless input as far as it is asked', async () => {
      executor.runAtOnce();
      for (const input of [new Counted(), new AsyncCounted()]) {
        let last = 0;
        for await (const result of executor.map(square, input, { buffersize: 4 })) {
          last = result;
          if (result >= 1000 ** 2) break;
        }
        expect(last).to.equal(1000 ** 2);
        const counted = input instanceof Counted ? input : input.counted;
        expect(counted.taken).to.be.within(1001, 1005);
        expect(counted.closed).to.equal(1);
      }
    });

    it('map does not hold on to what it has handed out', async () => {
      let alive = 0;
      const registry = new FinalizationRegistry(() => alive--);
      const make = (n: number) => {
        const made = { n };
        alive++;
        registry.register(made, undefined);
        return made;
      };
      const results = executor.map(make, new Counted(), { buffersize: 2 });
      for (let i = 0; i < 1000; i++) {
        executor.run(0);
        executor.tasks.shift();
        await results.next();
      }
      await collectGarbage();
      expect(alive).to.be.lessThan(10);
      await results.return();
    });
  });

  describe('failures', () => {
    it('map rejects at the place of the failing item, and gives the items after it', async () => {
      const results = executor.map(square, [1, 2, 3]);
      const error = new Error('boom');
      executor.run(0);
      executor.task(1).setException(error);
      executor.run(2);
      expect(await results.next()).to.deep.equal({ value: 1, done: false });
      expect(await rejection(results.next())).to.equal(error);
      expect(await results.next()).to.deep.equal({ value: 9, done: false });
      expect(await results.next()).to.deep.equal(END);
    });

    it('map rejects with falsy errors, too', async () => {
      const results = executor.map(square, [1]);
      executor.task(0).setException(undefined);
      expect(await rejection(results.next())).to.equal(undefined);
      expect(await results.next()).to.deep.equal(END);
    });

    it('map rejects with CancelledError at the place of an item that was cancelled', async () => {
      const results = executor.map(square, [1, 2]);
      executor.task(0).future.cancel();
      executor.run(1);
      expect(await rejection(results.next())).to.be.instanceOf(CancelledError);
      expect(await results.next()).to.deep.equal({ value: 4, done: false });
    });

    it('map that is awaited rejects with the first failure in the order of the input, and cancels what is pending', async () => {
      const results = executor.map(square, [1, 2, 3, 4]);
      const awaited = rejection(results);
      const error = new Error('first');
      executor.task(2).setException(new Error('later in the input, earlier in time'));
      executor.task(0).setException(error);
      expect(await awaited).to.equal(error);
      await flushMicrotasks();
      expect(executor.tasks.map(({ future }) => future.cancelled())).to.deep.equal([false, true, false, true]);
      expect(await rejection(results)).to.equal(error);
    });

    it('map that is awaited lets running tasks end when it rejects', async () => {
      const awaited = rejection(executor.map(square, [1, 2]));
      executor.task(1).setRunningOrNotifyCancel();
      executor.task(0).setException(new Error('boom'));
      await awaited;
      expect(executor.task(1).future.running()).to.equal(true);
      executor.task(1).setResult(4);
    });

    it('map that is awaited closes its input when it rejects', async () => {
      const input = new Counted();
      const awaited = rejection(executor.map(square, input, { buffersize: 2 }));
      executor.task(0).setException(new Error('boom'));
      await awaited;
      await flushMicrotasks();
      expect(input.closed).to.equal(1);
    });

    it('map leaves no unhandled failure behind once it was broken off or has rejected', async () => {
      const warnings: Error[] = [];
      const listen = (warning: Error) => warnings.push(warning);
      process.on('warning', listen);
      try {
        await (async () => {
          const awaited = rejection(executor.map(square, [1, 2, 3]));
          executor.task(2).setRunningOrNotifyCancel();
          executor.task(1).setException(new Error('failed before'));
          executor.task(0).setException(new Error('boom'));
          await awaited;
          executor.task(2).setException(new Error('failed afterwards'));
          const broken = executor.map(square, [1, 2]);
          executor.task(3).setException(new Error('failed before'));
          executor.task(4).setException(new Error('failed before'));
          await broken.return();
        })();
        executor = new HandMadeExecutor();
        await collectGarbage();
      } finally {
        process.off('warning', listen);
      }
      expect(warnings).to.deep.equal([]);
    });
  });

  describe('breaking off', () => {
    it('map cancels what is pending, and closes its inputs', async () => {
      const [a, b] = [new Counted(), new AsyncCounted()];
      const results = executor.map(add, a, b, { buffersize: 3 });
      await flushMicrotasks();
      executor.run(0);
      executor.task(1).setRunningOrNotifyCancel();
      for await (const result of results) {
        expect(result).to.equal(0);
        break;
      }
      expect(executor.task(1).future.running()).to.equal(true);
      expect(executor.tasks.slice(2).every(({ future }) => future.cancelled())).to.equal(true);
      expect([a.closed, b.counted.closed]).to.deep.equal([1, 1]);
      expect(await results.next()).to.deep.equal(END);
    });

    it('map runs the finally of a generator that it read', async () => {
      let closed = false;
      const generate = function* () {
        try {
          for (let i = 0; ; i++) yield i;
        } finally {
          closed = true;
        }
      };
      const results = executor.map(square, generate(), { buffersize: 1 });
      await results.return();
      expect(closed).to.equal(true);
    });

    it('map ends pending calls of next() at return()', async () => {
      const results = executor.map(square, [1, 2]);
      const calls = [results.next(), results.next(), results.next()];
      expect(await results.return()).to.deep.equal(END);
      for (const call of calls) expect(await call).to.deep.equal(END);
    });

    it('map does not hand out after return() what was finished before', async () => {
      const results = executor.runAtOnce().map(square, [1, 2]);
      await results.return();
      expect(await results.next()).to.deep.equal(END);
    });

    it('map submits nothing that an async input gives after return()', async () => {
      let give: (step: IteratorResult<number>) => void = () => undefined;
      const input: AsyncIterable<number> = {
        [Symbol.asyncIterator]: () => ({
          next: () =>
            new Promise((resolve) => {
              give = resolve;
            }),
        }),
      };
      const results = executor.map(square, input);
      await results.return();
      give({ value: 1, done: false });
      await flushMicrotasks();
      expect(executor.tasks).to.have.length(0);
    });

    it('map is done after return() although the input fails afterwards', async () => {
      let fail: (error: Error) => void = () => undefined;
      const input: AsyncIterable<number> = {
        [Symbol.asyncIterator]: () => ({
          next: () =>
            new Promise((_resolve, reject) => {
              fail = reject;
            }),
        }),
      };
      const results = executor.map(square, input);
      await results.return();
      fail(new Error('too late'));
      await flushMicrotasks();
      expect(await results.next()).to.deep.equal(END);
    });

    it('map is not disturbed by an input whose return() throws or rejects', async () => {
      const bad = (close: () => never | Promise<never>) => ({
        [Symbol.asyncIterator]: () => ({
          next: () => Promise.resolve({ value: 1, done: false }),
          return: close,
        }),
      });
      const throwing = bad(() => {
        throw new Error('return threw');
      });
      const rejecting = bad(() => Promise.reject(new Error('return rejected')));
      for (const input of [throwing, rejecting]) {
        const results = executor.map(square, input, { buffersize: 1 });
        expect(await results.return()).to.deep.equal(END);
      }
      await flushMicrotasks();
    });
  });

  describe('an input that throws', () => {
    const error = new Error('bad input');
    const generate = function* () {
      yield 1;
      yield 2;
      throw error;
    };

    it('map throws at the call when a sync input throws there, and cancels what it had submitted', () => {
      expect(() => executor.map(square, generate())).to.throw(error);
      expect(executor.tasks.map(({ future }) => future.cancelled())).to.deep.equal([true, true]);
    });

    it('map hands out what was read before, then rejects once, when the input throws later on', async () => {
      executor.runAtOnce();
      const results = executor.map(square, generate(), { buffersize: 1 });
      expect(await results.next()).to.deep.equal({ value: 1, done: false });
      expect(await results.next()).to.deep.equal({ value: 4, done: false });
      expect(await rejection(results.next())).to.equal(error);
      expect(await results.next()).to.deep.equal(END);
    });

    it('map does the same with an async input', async () => {
      const results = executor.map(
        square,
        (async function* () {
          await flushMicrotasks();
          yield* generate();
        })(),
      );
      const calls = [results.next(), results.next(), rejection(results.next()), results.next()] as const;
      while (executor.tasks.length < 2) await flushMicrotasks();
      await flushMicrotasks();
      executor.run(1);
      executor.run(0);
      expect(await calls[0]).to.deep.equal({ value: 1, done: false });
      expect(await calls[1]).to.deep.equal({ value: 4, done: false });
      expect(await calls[2]).to.equal(error);
      expect(await calls[3]).to.deep.equal(END);
    });

    it('map that is awaited rejects with the error of the input', async () => {
      executor.runAtOnce();
      expect(await rejection(executor.map(square, generate(), { buffersize: 1 }))).to.equal(error);
    });

    it('map closes the other inputs when one throws, and that one not', () => {
      executor.runAtOnce();
      const other = new Counted();
      let closed = 0;
      const throwing: Iterable<number> = {
        [Symbol.iterator]: () => ({
          next: () => {
            throw error;
          },
          return: () => {
            closed++;
            return { value: undefined, done: true };
          },
        }),
      };
      expect(() => executor.map(add, other, throwing)).to.throw(error);
      expect([other.closed, closed]).to.deep.equal([1, 0]);
    });

    it('map treats a submission that throws later on like an input that throws', async () => {
      executor.runAtOnce();
      const input = new Counted();
      const results = executor.map(square, input, { buffersize: 1 });
      const shut = new Error('shut down');
      executor.onSubmit = () => {
        throw shut;
      };
      expect(await results.next()).to.deep.equal({ value: 0, done: false });
      expect(await rejection(results.next())).to.equal(shut);
      expect(await results.next()).to.deep.equal(END);
      expect(input.closed).to.equal(1);
    });
  });

  describe('timeout', () => {
    const clock = useFakeClock();

    it('map rejects next() once with TimeoutError when the time since the call has passed, and cancels the rest', async () => {
      const results = executor.map(square, [1, 2, 3], { timeout: 100 });
      executor.run(0);
      expect(await results.next()).to.deep.equal({ value: 1, done: false });
      const next = rejection(results.next());
      clock().tick(99);
      expect(executor.task(1).future.cancelled()).to.equal(false);
      clock().tick(1);
      expect(await next).to.be.instanceOf(TimeoutError);
      expect(executor.tasks.map(({ future }) => future.cancelled())).to.deep.equal([false, true, true]);
      expect(await results.next()).to.deep.equal(END);
    });

    it('map rejects a next() that is called when the time has passed already', async () => {
      const results = executor.map(square, [1], { timeout: 100 });
      clock().tick(100);
      expect(await rejection(results.next())).to.be.instanceOf(TimeoutError);
      expect(await results.next()).to.deep.equal(END);
    });

    it('map hands out what had finished before it rejects, as Python does', async () => {
      const results = executor.map(square, [1, 2, 3], { timeout: 100 });
      executor.run(0);
      executor.run(1);
      clock().tick(100);
      expect(await results.next()).to.deep.equal({ value: 1, done: false });
      expect(await results.next()).to.deep.equal({ value: 4, done: false });
      expect(await rejection(results.next())).to.be.instanceOf(TimeoutError);
      expect(await results.next()).to.deep.equal(END);
    });

    it('map hands out nothing that comes after an unfinished item', async () => {
      const results = executor.map(square, [1, 2, 3], { timeout: 100 });
      executor.run(0);
      executor.run(2);
      clock().tick(100);
      expect(await results.next()).to.deep.equal({ value: 1, done: false });
      expect(await rejection(results.next())).to.be.instanceOf(TimeoutError);
      expect(await results.next()).to.deep.equal(END);
    });

    it('map does not reject when every task had ended in time, however slowly they are read', async () => {
      const results = executor.runAtOnce().map(square, [1, 2], { timeout: 100 });
      expect(clock().countTimers()).to.equal(0);
      clock().tick(1000);
      expect(await collect(results)).to.deep.equal([1, 4]);
    });

    it('map rejects the first of several pending calls of next(), and ends the others', async () => {
      const results = executor.map(square, [1, 2], { timeout: 100 });
      const first = rejection(results.next());
      const others = [results.next(), results.next()];
      clock().tick(100);
      expect(await first).to.be.instanceOf(TimeoutError);
      for (const other of others) expect(await other).to.deep.equal(END);
    });

    it('map that is awaited rejects with TimeoutError', async () => {
      const awaited = rejection(executor.map(square, [1], { timeout: 100 }));
      clock().tick(100);
      expect(await awaited).to.be.instanceOf(TimeoutError);
    });

    it('map closes an input that it still reads when the time has passed', async () => {
      const input = new Counted();
      const results = executor.map(square, input, { timeout: 100, buffersize: 1 });
      clock().tick(100);
      expect(input.closed).to.equal(1);
      await rejection(results.next());
      expect(input.taken).to.equal(1);
    });

    for (const timeout of [undefined, Infinity, 2 ** 31]) {
      it(`map takes a timeout of ${String(timeout)} as none`, () => {
        void executor.map(square, [1], { timeout });
        expect(clock().countTimers()).to.equal(0);
      });
    }

    it('map leaves no timer behind when it has ended, or was broken off', async () => {
      const ended = executor.map(square, [1], { timeout: 100 });
      const broken = executor.map(square, [1], { timeout: 100 });
      expect(clock().countTimers()).to.equal(2);
      executor.run(0);
      await ended;
      await broken.return();
      expect(clock().countTimers()).to.equal(0);
    });
  });

  describe('signal', () => {
    const reason = new Error('enough');

    it("map rejects next() once with the signal's reason, and cancels what is pending", async () => {
      const controller = new AbortController();
      const results = executor.map(square, [1, 2], { signal: controller.signal });
      const next = rejection(results.next());
      controller.abort(reason);
      expect(await next).to.equal(reason);
      expect(executor.tasks.every(({ future }) => future.cancelled())).to.equal(true);
      expect(await results.next()).to.deep.equal(END);
    });

    it('map hands the signal to each task, so that running ones are stopped', () => {
      const { signal } = new AbortController();
      void executor.map(square, [1, 2], { signal });
      expect(executor.tasks.map(({ options }) => options?.signal)).to.deep.equal([signal, signal]);
    });

    it('map obeys both its own signal and that of with()', async () => {
      for (const which of [0, 1] as const) {
        const controllers = [new AbortController(), new AbortController()] as const;
        const bound = executor.with({ signal: controllers[0].signal, priority: 3 });
        const awaited = rejection(bound.map(square, [1], { signal: controllers[1].signal }));
        controllers[which].abort(reason);
        expect(await awaited).to.equal(reason);
        expect(executor.tasks.at(-1)?.options?.signal?.aborted).to.equal(true);
        expect(executor.tasks.at(-1)?.options?.priority).to.equal(3);
      }
    });

    it('map submits and reads nothing when the signal is aborted already', async () => {
      const input = new Counted();
      const results = executor.map(square, input, { signal: AbortSignal.abort(reason) });
      expect(input.taken).to.equal(0);
      expect(executor.tasks).to.have.length(0);
      expect(await rejection(results.next())).to.equal(reason);
      expect(await results.next()).to.deep.equal(END);
      const other = executor.map(square, [1], { signal: AbortSignal.abort(reason) });
      expect(await rejection(other)).to.equal(reason);
    });

    it('map stops when its own input aborts the signal', async () => {
      const controller = new AbortController();
      const generate = function* () {
        yield 1;
        controller.abort(reason);
        yield 2;
      };
      const results = executor.map(square, generate(), { signal: controller.signal });
      expect(executor.tasks).to.have.length(1);
      expect(await rejection(results.next())).to.equal(reason);
      expect(await results.next()).to.deep.equal(END);
    });

    it('map leaves no listener on the signal, however it ends', async () => {
      const controller = new AbortController();
      const { signal } = controller;
      const listeners = () => getEventListeners(signal, 'abort').length;
      const ended = executor.map(square, [1], { signal });
      expect(listeners()).to.equal(1);
      executor.run(0);
      await ended;
      expect(listeners()).to.equal(0);

      await executor.map(square, [1], { signal }).return();
      expect(listeners()).to.equal(0);

      const failing = rejection(executor.map(square, [1], { signal }));
      executor.task(2).setException(new Error('boom'));
      await failing;
      await flushMicrotasks();
      expect(listeners()).to.equal(0);

      expect(() =>
        executor.map(
          square,
          (function* () {
            yield 1;
            throw reason;
          })(),
          { signal },
        ),
      ).to.throw(reason);
      expect(listeners()).to.equal(0);
    });

    it('map leaves no listener on the signal when every task has ended and nobody reads the results', () => {
      const { signal } = new AbortController();
      void executor.map(square, [1, 2], { signal });
      executor.run(0);
      expect(getEventListeners(signal, 'abort')).to.have.length(1);
      executor.run(1);
      expect(getEventListeners(signal, 'abort')).to.have.length(0);
    });
  });

  describe('onProgress', () => {
    const track = () => {
      const seen: MapProgress[] = [];
      return { seen, onProgress: (progress: MapProgress) => void seen.push(progress) };
    };

    it('map reports each end of a task with the total, without anybody reading', () => {
      const { seen, onProgress } = track();
      void executor.map(square, [1, 2, 3], { onProgress });
      executor.run(1);
      expect(seen).to.deep.equal([{ done: 1, total: 3 }]);
      executor.run(0);
      executor.task(2).future.cancel();
      expect(seen.slice(1)).to.deep.equal([
        { done: 2, total: 3 },
        { done: 3, total: 3 },
      ]);
    });

    it('map counts failed items, too', () => {
      const { seen, onProgress } = track();
      void executor.map(square, [1], { onProgress });
      executor.task(0).setException(new Error('boom'));
      executor.task(0).future.outcome();
      expect(seen).to.deep.equal([{ done: 1, total: 1 }]);
    });

    it('map knows the total of arrays beforehand, that of the shortest', () => {
      const { seen, onProgress } = track();
      void executor.map(add, [1, 2, 3], [1, 2], { onProgress, buffersize: 1 });
      executor.run(0);
      expect(seen).to.deep.equal([{ done: 1, total: 2 }]);
    });

    it('map knows the total of other inputs once they have ended', async () => {
      const { seen, onProgress } = track();
      const results = executor.map(square, new Counted(2), { onProgress, buffersize: 1 });
      executor.run(0);
      await results.next();
      executor.run(1);
      await results.next();
      expect(seen).to.deep.equal([{ done: 1 }, { done: 2 }]);
      expect(await results.next()).to.deep.equal(END);

      const { seen: later, onProgress: report } = track();
      void executor.map(square, new Counted(2), { onProgress: report });
      executor.run(2);
      expect(later).to.deep.equal([{ done: 1, total: 2 }]);
    });

    it('map reports a callback that throws on the console, and goes on', async () => {
      const error = new Error('doh!');
      const reports = await consoleErrors(async () => {
        const results = executor.map(square, [1, 2], {
          onProgress: () => {
            throw error;
          },
        });
        executor.run(0);
        executor.run(1);
        expect(await results).to.deep.equal([1, 4]);
      });
      expect(reports).to.have.length(2);
      expect(reports[0]).to.include(error);
    });

    it('map can be ended from within the callback', async () => {
      const controller = new AbortController();
      const results = executor.runAtOnce().map(square, [1, 2, 3], {
        signal: controller.signal,
        onProgress: () => {
          controller.abort('seen enough');
        },
      });
      expect(executor.tasks).to.have.length(1);
      expect(await rejection(results.next())).to.equal('seen enough');
      expect(await results.next()).to.deep.equal(END);
    });
  });

  describe('on a full queue', () => {
    it('map waits for room, and reads no further meanwhile', async () => {
      executor.room = 2;
      const input = new Counted(5);
      const results = executor.map(square, input);
      await flushMicrotasks();
      expect(input.taken).to.equal(2);
      expect(executor.waitingForRoom).to.equal(1);
      executor.makeRoom(1);
      await flushMicrotasks();
      expect(executor.inputs).to.deep.equal([[0], [1], [2]]);
      executor.makeRoom(5);
      await flushMicrotasks();
      expect(executor.tasks).to.have.length(5);
      for (let i = 0; i < 5; i++) executor.run(i);
      expect(await results).to.deep.equal([0, 1, 4, 9, 16]);
    });

    it('map waits for room with an async input, too', async () => {
      executor.room = 1;
      const results = executor.map(square, new AsyncCounted(3));
      await flushMicrotasks();
      expect(executor.inputs).to.deep.equal([[0]]);
      executor.makeRoom(2);
      await flushMicrotasks();
      executor.makeRoom(1);
      await flushMicrotasks();
      for (let i = 0; i < 3; i++) executor.run(i);
      expect(await results).to.deep.equal([0, 1, 4]);
    });

    it('map asks again for room when somebody else was faster', async () => {
      executor.room = 0;
      void executor.map(square, [1]);
      executor.makeRoom(1);
      executor.room = 0;
      await flushMicrotasks();
      expect(executor.tasks).to.have.length(0);
      expect(executor.waitingForRoom).to.equal(1);
      executor.makeRoom(1);
      await flushMicrotasks();
      expect(executor.tasks).to.have.length(1);
    });

    it('map takes nothing more from its input, and no place in the line, when broken off while waiting for room', async () => {
      executor.room = 1;
      const input = new Counted();
      const results = executor.map(square, input);
      await flushMicrotasks();
      await results.return();
      const { taken } = input;
      executor.makeRoom(0);
      await flushMicrotasks();
      expect(executor.waitingForRoom).to.equal(0);
      executor.makeRoom(5);
      await flushMicrotasks();
      expect([executor.tasks.length, input.taken, input.closed]).to.deep.equal([1, taken, 1]);
    });

    it('map rejects with what ready() rejects with, after the items before it', async () => {
      executor.room = 1;
      const results = executor.map(square, [1, 2]);
      executor.run(0);
      const broken = new Error('the pool is broken');
      executor.failReady(broken);
      expect(await results.next()).to.deep.equal({ value: 1, done: false });
      expect(await rejection(results.next())).to.equal(broken);
      expect(await results.next()).to.deep.equal(END);
    });

    it('map observes both the buffersize and the room', async () => {
      executor.room = 3;
      const input = new Counted();
      const results = executor.map(square, input, { buffersize: 2 });
      expect(input.taken).to.equal(2);
      executor.run(0);
      executor.run(1);
      await results.next();
      await results.next();
      await flushMicrotasks();
      expect(executor.tasks).to.have.length(3);
      executor.makeRoom(10);
      await flushMicrotasks();
      expect(executor.tasks).to.have.length(4);
      await results.return();
    });
  });

  describe('arguments', () => {
    const call =
      (...args: unknown[]) =>
      () =>
        (executor.map as (...args: unknown[]) => unknown).call(executor, square, ...args);

    it('map throws a RangeError at the call for numbers out of range, naming the option', () => {
      for (const buffersize of [0, -1, 1.5, NaN]) {
        expect(call([1], { buffersize })).to.throw(RangeError, 'buffersize');
      }
      for (const chunksize of [0, -1, 1.5, NaN]) expect(call([1], { chunksize })).to.throw(RangeError, 'chunksize');
      expect(call([1], { timeout: NaN })).to.throw(RangeError, 'timeout');
    });

    it('map throws a TypeError at the call for options of a wrong kind, naming the option', () => {
      const wrong: Record<keyof MapOptions, unknown> = {
        buffersize: '2',
        chunksize: null,
        timeout: '100',
        signal: {},
        onProgress: 'log',
      };
      for (const [name, value] of Object.entries(wrong)) {
        expect(call([1], { [name]: value })).to.throw(TypeError, name);
      }
    });

    it('map throws a TypeError at the call for what is not iterable', () => {
      for (const args of [
        [],
        [5],
        [null],
        [undefined],
        [[1], 5],
        [5, [1]],
        [[1], null],
        [{}, [1]],
        [[1], () => 1],
        [{}],
      ]) {
        expect(call(...args)).to.throw(TypeError);
      }
    });

    it('map takes undefined in the place of the options for none', async () => {
      expect(await executor.runAtOnce().map(square, [2], undefined as never)).to.deep.equal([4]);
    });

    it('map takes undefined for each option as not given', async () => {
      const options = {
        timeout: undefined,
        buffersize: undefined,
        chunksize: undefined,
        signal: undefined,
        onProgress: undefined,
      };
      expect(await executor.runAtOnce().map(square, [2], options)).to.deep.equal([4]);
    });

    it('map throws at the call what the executor says of the callable, also for an empty input', () => {
      expect(() => executor.map(5 as never, [])).to.throw(TypeError, 'not callable');
    });

    it('map touches neither the input nor the executor when an argument is wrong', () => {
      const input = new Counted();
      expect(call(input, { buffersize: 0 })).to.throw(RangeError);
      expect(input.taken).to.equal(0);
      expect(executor.tasks).to.have.length(0);
    });

    it('map reads its own options only, whatever Object.prototype holds', async () => {
      const polluted = Object.prototype as Record<string, unknown>;
      const names = ['timeout', 'buffersize', 'chunksize', 'signal', 'onProgress'];
      let results: MapResult<number>;
      try {
        for (const name of names) polluted[name] = 0;
        results = executor.runAtOnce().map(square, [1, 2], {});
      } finally {
        for (const name of names) Reflect.deleteProperty(polluted, name);
      }
      expect(await results).to.deep.equal([1, 4]);
    });
  });
});
