import { expect } from 'chai';
import { CancelledError, ExecutorShutdownError, TimeoutError } from 'concurrent-futures';
import { firstFails, firstPasses, waitForTheOther } from '../fixtures/tasks.js';
import { passGate, touch } from '../support/gate.js';
import { type Capabilities, type MakeExecutor, useBench } from '../support/pool-under-test.js';
import { eventually, rejectionAs, rejectionOf, settled, thrownBy, turns } from '../support/watchdog.js';

const power = (base: number, exponent: number): number => base ** exponent;
const divide = (a: bigint, b: bigint): bigint => a / b;
const identity = (x: number): number => x;
const range = (length: number): number[] => Array.from({ length }, (_, i) => i);

async function* slowly(items: Iterable<number>): AsyncGenerator<number> {
  for (const item of items) {
    await turns(1);
    yield item;
  }
}

/** The forms of `map`: inputs, order, buffers, failures, and what ends it early. */
export function describeMap(name: string, makeExecutor: MakeExecutor, capabilities: Capabilities): void {
  describe(`${name}: map`, () => {
    const bench = useBench(makeExecutor, capabilities);

    it('map() awaited gives all results as an array', async () => {
      const results = await settled(bench.pool().map(power, range(10), range(10)));
      expect(results).to.deep.equal(range(10).map((i) => i ** i));
    });

    it('map() iterated gives the results one by one', async () => {
      const seen: number[] = [];
      for await (const result of bench.pool().map(identity, range(10))) seen.push(result);
      expect(seen).to.deep.equal(range(10));
    });

    it('map() accepts a chunksize, which changes nothing', async () => {
      const pool = bench.pool();
      for (const chunksize of [1, 3, 6, 40, 50]) {
        const results = await settled(pool.map(power, range(40), range(40), { chunksize }));
        expect(results).to.deep.equal(range(40).map((i) => i ** i));
      }
      for (const chunksize of [0, -1, 1.5]) {
        thrownBy(() => pool.map(power, range(4), range(4), { chunksize }), RangeError);
      }
    });

    it('map() keeps the order of the input when later items end first', async () => {
      const pool = bench.pool({ maxWorkers: 2 });
      const gate = bench.gate();
      const results = pool.map(waitForTheOther, [gate.token, gate.token], [0, 1]);
      expect(await settled(results)).to.deep.equal([0, 1]);
    });

    it('map() stops at the shortest of several iterables', async () => {
      const pool = bench.pool();
      const three = (a: number, b: number, c: number) => a + b + c;
      expect(await settled(pool.map(three, range(5), [10, 20], range(9)))).to.deep.equal([10, 22]);
      expect(await settled(pool.map(three, range(5), [], range(9)))).to.deep.equal([]);
    });

    it('map() closes the iterables that it does not read to their end', async () => {
      let closed = 0;
      const endless = function* () {
        try {
          for (let i = 0; ; i++) yield i;
        } finally {
          closed++;
        }
      };
      expect(await settled(bench.pool().map(power, endless(), [1, 1, 1]))).to.deep.equal([0, 1, 2]);
      expect(closed).to.equal(1);
    });

    it('map() takes generators, sets, maps, strings, async iterables and mixtures of them', async () => {
      const pool = bench.pool();
      const pair = (a: unknown, b: unknown) => [a, b];
      expect(await settled(pool.map(pair, new Set([1, 2]), 'ab'))).to.deep.equal([
        [1, 'a'],
        [2, 'b'],
      ]);
      expect(await settled(pool.map(pair, slowly([1, 2, 3]), new Map([['k', 'v']])))).to.deep.equal([[1, ['k', 'v']]]);
      expect(await settled(pool.map(identity, slowly(range(20))))).to.deep.equal(range(20));
      expect(await settled(pool.map(identity, new Uint8Array([1, 2])))).to.deep.equal([1, 2]);
    });

    it('map() gives an empty array for an empty input', async () => {
      const pool = bench.pool();
      expect(await settled(pool.map(identity, []))).to.deep.equal([]);
      expect(await settled(pool.map(identity, slowly([])))).to.deep.equal([]);
      expect(await settled(pool.map(identity, []).next())).to.deep.equal({ value: undefined, done: true });
    });

    it('map() waits for what async callables return', async () => {
      const later = async (x: number) => {
        await new Promise((resolve) => setTimeout(resolve, 1));
        return x + 1;
      };
      expect(await settled(bench.pool().map(later, [1, 2]))).to.deep.equal([2, 3]);
    });

    it('map() submits everything without being iterated', async () => {
      const pool = bench.pool();
      const tally = bench.tally(10);
      void pool.map(touch, Array<typeof tally.token>(10).fill(tally.token), range(10));
      await settled(pool.shutdown());
      expect(range(10).map((i) => tally.at(i))).to.deep.equal(Array(10).fill(1));
    });

    it('map() delivers its results also after a shutdown', async () => {
      const pool = bench.pool({ maxWorkers: 2 });
      const results = pool.map(identity, range(10));
      await settled(pool.shutdown({ wait: false }));
      expect(await settled(results)).to.deep.equal(range(10));
    });

    it('map() rejects for a failing item at its place, and then gives the items after it', async () => {
      const results = bench.pool().map(divide, [1n, 1n, 1n, 1n], [2n, 3n, 0n, 1n]);
      expect(await settled(results.next())).to.deep.equal({ value: 0n, done: false });
      expect(await settled(results.next())).to.deep.equal({ value: 0n, done: false });
      expect((await rejectionAs(results.next(), RangeError)).message).to.equal('Division by zero');
      expect(await settled(results.next())).to.deep.equal({ value: 1n, done: false });
      expect(await settled(results.next())).to.deep.equal({ value: undefined, done: true });
      expect(await settled(results.next())).to.deep.equal({ value: undefined, done: true });
    });

    it('map() awaited rejects with the error of the first failing item in the order of the input', async () => {
      const fail = (x: number) => {
        if (x % 2 === 1) throw new RangeError(`odd: ${String(x)}`);
        return x;
      };
      const error = await rejectionAs(bench.pool().map(fail, [0, 2, 3, 4, 5]), RangeError);
      expect(error.message).to.equal('odd: 3');
    });

    it('map() awaited cancels what is pending when it fails', async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      const gate = bench.gate();
      const run = pool.map(firstFails, range(50), Array<typeof gate.token>(50).fill(gate.token));
      expect((await rejectionAs(run, Error)).message).to.equal('the first item fails');
      gate.open();
      await settled(pool.join());
      const { cancelled, completed, failed, submitted } = pool.stats();
      expect({ submitted, failed, sum: cancelled + completed }).to.deep.equal({ submitted: 50, failed: 1, sum: 49 });
      expect(completed).to.be.at.most(1);
    });

    it('map() rejects with a DataCloneError at the place of an item that cannot be cloned', async () => {
      const results = bench.pool().map((x: unknown) => typeof x, [1, () => 1, 'text']);
      expect(await settled(results.next())).to.deep.equal({ value: 'number', done: false });
      expect(await rejectionOf(results.next())).to.include({ name: 'DataCloneError' });
      expect(await settled(results.next())).to.deep.equal({ value: 'string', done: false });
    });

    it('map() answers calls of next() that are made before there are results', async () => {
      const { pool, gate } = await bench.blocked();
      const results = pool.map(identity, range(3));
      const steps = Promise.all([results.next(), results.next(), results.next(), results.next()]);
      gate.open();
      expect((await settled(steps)).map((step) => step.value as unknown)).to.deep.equal([0, 1, 2, undefined]);
    });

    it('map() with a buffersize reads no more than that beyond what was handed out', async () => {
      const pool = bench.pool({ maxWorkers: 2 });
      let taken = 0;
      const naturals = function* () {
        for (;;) yield taken++;
      };
      const results = pool.map(identity, naturals(), { buffersize: 4 });
      expect(taken).to.equal(4);
      let handedOut = 0;
      for await (const result of results) {
        expect(result).to.equal(handedOut);
        handedOut++;
        expect(taken).to.be.at.most(handedOut + 4);
        if (handedOut === 500) break;
      }
      expect(taken).to.be.at.most(504);
    });

    it('map() with a buffersize of 1 goes through the input one by one', async () => {
      expect(await settled(bench.pool().map(identity, range(30), { buffersize: 1 }))).to.deep.equal(range(30));
    });

    it('map() with a buffersize runs endless async inputs too', async () => {
      let taken = 0;
      const naturals = async function* () {
        for (;;) {
          await turns(1);
          yield taken++;
        }
      };
      const seen: number[] = [];
      for await (const result of bench.pool().map(identity, naturals(), { buffersize: 2 })) {
        seen.push(result);
        if (seen.length === 20) break;
      }
      expect(seen).to.deep.equal(range(20));
      expect(taken).to.be.at.most(23);
    });

    it('map() with a buffersize larger than the input takes it all', async () => {
      expect(await settled(bench.pool().map(identity, range(5), { buffersize: 100 }))).to.deep.equal(range(5));
    });

    for (const buffersize of [0, -1, 1.5, NaN]) {
      it(`map() throws a RangeError for a buffersize of ${String(buffersize)}`, () => {
        const pool = bench.pool();
        const error = thrownBy(() => pool.map(identity, [1], { buffersize }), RangeError);
        expect(error.message).to.include('buffersize');
        expect(pool.stats().submitted).to.equal(0);
      });
    }

    it('map() throws a TypeError at the call for what is of a wrong kind', () => {
      const pool = bench.pool();
      const map = pool.map.bind(pool) as (...args: unknown[]) => unknown;
      thrownBy(() => map(identity), TypeError);
      thrownBy(() => map(identity, 5), TypeError);
      thrownBy(() => map(identity, null), TypeError);
      thrownBy(() => map(identity, { length: 2 }), TypeError);
      thrownBy(() => map(identity, 5, [1]), TypeError);
      thrownBy(() => map(identity, [1], { buffersize: '2' }), TypeError);
      thrownBy(() => map(identity, [1], { timeout: 'soon' }), TypeError);
      thrownBy(() => map(identity, [1], { signal: {} }), TypeError);
      thrownBy(() => map(identity, [1], { onProgress: 5 }), TypeError);
      thrownBy(() => map(undefined, [1]), TypeError);
      thrownBy(() => map('identity', []), TypeError);
      thrownBy(() => map(Math.abs, []), TypeError);
      expect(pool.stats().submitted).to.equal(0);
    });

    it('map() throws at the call when the executor is shut down', async () => {
      const pool = bench.pool();
      await settled(pool.shutdown());
      thrownBy(() => pool.map(identity, [1, 2]), ExecutorShutdownError);
    });

    it('map() with a timeout delivers what is finished, then rejects once and cancels the rest', async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      await settled(pool.submit(() => 1));
      const open = bench.gate();
      open.open();
      const shut = bench.gate();
      const tokens = [open.token, open.token, shut.token, open.token, open.token];
      const results = pool.map(passGate, tokens, range(5), { timeout: 1500 });
      expect(await settled(results.next())).to.deep.equal({ value: 0, done: false });
      expect(await settled(results.next())).to.deep.equal({ value: 1, done: false });
      await rejectionAs(results.next(), TimeoutError);
      expect(await settled(results.next())).to.deep.equal({ value: undefined, done: true });
      expect(pool.stats()).to.include({ cancelled: 2, running: 1 });
      shut.open();
      await settled(pool.join());
      expect(open.arrivals).to.equal(2);
    });

    it('map() with a timeout of 0 cancels the item that next() waits for, and those after it', async () => {
      const { pool, gate, blocker } = await bench.blocked();
      const tally = bench.tally();
      const results = pool.map(touch, [tally.token, tally.token], [0, 0], { timeout: 0 });
      await rejectionAs(results.next(), TimeoutError);
      gate.open();
      await settled(blocker);
      await settled(pool.join());
      expect(tally.total).to.equal(0);
      expect(pool.stats()).to.include({ submitted: 3, completed: 1, cancelled: 2 });
    });

    it('map() awaited with a timeout rejects with a TimeoutError', async () => {
      const { pool } = await bench.blocked();
      await rejectionAs(pool.map(identity, range(3), { timeout: 20 }), TimeoutError);
      expect(pool.stats()).to.include({ cancelled: 3 });
    });

    it('map() without a limit takes Infinity for it', async () => {
      expect(await settled(bench.pool().map(identity, [1], { timeout: Infinity }))).to.deep.equal([1]);
    });

    it('breaking out of a map() loop cancels what is pending', async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      const gate = bench.gate();
      for await (const result of pool.map(firstPasses, range(100), Array<typeof gate.token>(100).fill(gate.token))) {
        expect(result).to.equal(0);
        break;
      }
      // The second item may have begun by then.
      expect(pool.stats().queued).to.equal(0);
      expect(pool.stats().cancelled).to.be.within(98, 99);
      gate.open();
      await settled(pool.join());
      expect(await settled(pool.submit(identity, 7))).to.equal(7);
    });

    it('breaking out of a map() loop closes the input', async () => {
      let closed = false;
      const naturals = function* () {
        try {
          for (let i = 0; ; i++) yield i;
        } finally {
          closed = true;
        }
      };
      for await (const result of bench.pool().map(identity, naturals(), { buffersize: 2 })) {
        if (result === 3) break;
      }
      expect(closed).to.equal(true);
    });

    it('map() with a signal rejects with its reason and cancels what is pending', async () => {
      const { pool, gate } = await bench.blocked();
      const controller = new AbortController();
      const reason = new Error('enough');
      const results = pool.map(identity, range(5), { signal: controller.signal });
      const first = results.next();
      controller.abort(reason);
      expect(await rejectionOf(first)).to.equal(reason);
      expect(await settled(results.next())).to.deep.equal({ value: undefined, done: true });
      expect(pool.stats()).to.include({ cancelled: 5, queued: 0 });
      gate.open();
    });

    it('map() with a signal that is already aborted submits nothing', async () => {
      const pool = bench.pool();
      const reason = new Error('too late');
      let read = 0;
      const input = function* () {
        read++;
        yield 1;
      };
      expect(await rejectionOf(pool.map(identity, input(), { signal: AbortSignal.abort(reason) }))).to.equal(reason);
      expect({ read, submitted: pool.stats().submitted }).to.deep.equal({ read: 0, submitted: 0 });
    });

    it('map() reports its progress, with the total once that is known', async () => {
      const reports: { done: number; total?: number }[] = [];
      const onProgress = (progress: { done: number; total?: number }) => reports.push({ ...progress });
      await settled(bench.pool({ maxWorkers: 1 }).map(identity, range(4), { onProgress }));
      expect(reports).to.deep.equal([1, 2, 3, 4].map((done) => ({ done, total: 4 })));
    });

    it('map() reports progress for failing items too', async () => {
      const reports: number[] = [];
      const results = bench.pool().map(divide, [1n, 1n, 1n], [1n, 0n, 1n], {
        onProgress: ({ done }) => reports.push(done),
      });
      await rejectionOf(results);
      await eventually(() => reports.length === 3, 'three reports');
      expect(reports).to.deep.equal([1, 2, 3]);
    });

    it('map() waits for room in a full queue', async () => {
      const pool = bench.pool({ maxWorkers: 1, maxQueueSize: 2 });
      expect(await settled(pool.map(identity, range(50)))).to.deep.equal(range(50));
      expect(await settled(pool.map(identity, slowly(range(20))))).to.deep.equal(range(20));
    });

    it('map() under options applies them to each item', async () => {
      const { pool, gate } = await bench.blocked();
      const note = (x: number) => {
        ((globalThis as unknown as { order?: number[] }).order ??= []).push(x);
        return x;
      };
      const low = pool.with({ priority: -1 }).map(note, [1, 2]);
      const high = pool.with({ priority: 1 }).map(note, [3, 4]);
      gate.open();
      expect(await settled(Promise.all([low, high]))).to.deep.equal([
        [1, 2],
        [3, 4],
      ]);
      const order = await settled(pool.submit(() => (globalThis as unknown as { order: number[] }).order));
      expect(order).to.deep.equal([3, 4, 1, 2]);
    });

    it('map() rejects with CancelledError for items that a shutdown cancelled', async () => {
      const { pool, gate } = await bench.blocked();
      const results = pool.map(identity, range(3));
      const first = results.next();
      const ended = pool.shutdown({ cancelFutures: true });
      await rejectionAs(first, CancelledError);
      gate.open();
      await settled(ended);
    });

    it('several maps at once keep their results apart', async () => {
      const pool = bench.pool({ maxWorkers: 2 });
      const results = await settled(
        Promise.all(range(5).map((k) => pool.map(power, range(20), Array<number>(20).fill(k)))),
      );
      results.forEach((result, k) => {
        expect(result).to.deep.equal(range(20).map((i) => i ** k));
      });
    });
  });
}
