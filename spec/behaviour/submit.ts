import { expect } from 'chai';
import { Future, wait } from 'concurrent-futures';
import { runScript } from '../support/child.js';
import { passGate, touch } from '../support/gate.js';
import { type Capabilities, type MakeExecutor, useBench } from '../support/pool-under-test.js';
import { rejectionOf, settled, thrownBy, turns } from '../support/watchdog.js';

/** What `submit` does with its arguments and with the result, and which workers run the tasks. */
export function describeSubmit(name: string, makeExecutor: MakeExecutor, capabilities: Capabilities): void {
  describe(`${name}: submit`, () => {
    const bench = useBench(makeExecutor, capabilities);

    it('submit() returns a future of what the callable returns', async () => {
      const future = bench.pool().submit((base: number, exponent: number) => base ** exponent, 2, 8);
      expect(future).to.be.instanceOf(Future);
      expect(await settled(future)).to.equal(256);
      expect(await future.result()).to.equal(256);
      expect(await future.exception()).to.equal(undefined);
      expect(future.outcome()).to.deep.equal({ status: 'fulfilled', value: 256 });
      expect([future.done(), future.running(), future.cancelled()]).to.deep.equal([true, false, false]);
    });

    it('submit() passes every argument, an object in the last place included', async () => {
      const capture = (...args: unknown[]) => args;
      const args = [1, 'two', { timeout: 3, buffersize: 4 }];
      expect(await settled(bench.pool().submit(capture, ...args))).to.deep.equal(args);
    });

    it('submit() passes 70,000 arguments, in whatever company', async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      const count = (...args: unknown[]) => args.length;
      const lengths = [1, 65_535, 65_536, 70_000, 2];
      const futures = lengths.map((length) => pool.submit(count, ...Array.from({ length }, () => 123_456_789)));
      expect(await settled(Promise.all(futures))).to.deep.equal(lengths);
    });

    it('a thenable that is a function is awaited, as await does', async () => {
      const answer = () =>
        Object.assign(() => 1, {
          then: (resolve: (value: number) => void) => {
            resolve(5);
          },
        });
      expect(await settled(bench.pool().submit(answer as unknown as () => number))).to.equal(5);
    });

    it('submit() passes no argument that was not given', async () => {
      const count = (...args: unknown[]) => args.length;
      const pool = bench.pool();
      expect(await settled(pool.submit(count))).to.equal(0);
      expect(await settled(pool.submit(count, undefined))).to.equal(1);
    });

    it('submit() waits for what an async callable returns', async () => {
      const future = bench.pool().submit(async (text: string) => {
        await new Promise((resolve) => setTimeout(resolve, 1));
        return text;
      }, 'later');
      expect(await settled(future)).to.equal('later');
    });

    it('submit() waits for a thenable that the callable returns', async () => {
      const future = bench.pool().submit((): PromiseLike<number> => {
        const thenable = { then: (resolve: (value: number) => void) => setImmediate(resolve, 7) };
        return thenable as unknown as PromiseLike<number>;
      });
      expect(await settled(future)).to.equal(7);
    });

    it('submit() carries what structured cloning carries, there and back', async () => {
      const circular: { self?: unknown; list: unknown[] } = { list: [1, , 3] }; // eslint-disable-line no-sparse-arrays
      circular.self = circular;
      const values = [
        undefined,
        null,
        true,
        false,
        0,
        -0,
        NaN,
        -Infinity,
        2 ** 53,
        1.5,
        12345678901234567890n,
        '',
        'text \u{1f600} \ud800',
        new Date(0),
        /a+/giu,
        new Map<unknown, unknown>([[{ key: 1 }, new Set([1, 'two'])]]),
        new Uint8Array([1, 2, 3]),
        new Float64Array([0.5, -1]).buffer,
        [[], {}, [undefined]],
        circular,
        new Boolean(false),
        new Error('as a value'),
      ];
      const echo = (value: unknown) => value;
      const pool = bench.pool();
      const results = await settled(Promise.all(values.map((value) => pool.submit(echo, value))));
      values.forEach((value, i) => {
        expect(results[i], String(i)).to.deep.equal(structuredClone(value));
      });
      expect(Object.is(results[5], -0)).to.equal(true);
    });

    it('submit() carries every kind of plain value also as one of several arguments and inside of results', async () => {
      const pool = bench.pool();
      const args = [undefined, null, true, -0, NaN, 1n, 'text', [undefined], {}];
      const results = await settled(pool.submit((...given: unknown[]) => given, ...args));
      expect(results).to.deep.equal(args);
      expect(Object.is(results[3], -0)).to.equal(true);
    });

    it('submit() gives the worker a copy: what the task does to it does not show here', async () => {
      const list = [3, 1, 2];
      const sorted = await settled(bench.pool().submit((given: number[]) => given.sort(), list));
      expect(sorted).to.deep.equal([1, 2, 3]);
      expect(list).to.deep.equal([3, 1, 2]);
    });

    it('submit() carries large arguments and results', async () => {
      const bytes = new Uint8Array(20_000_000).fill(7);
      const doubled = await settled(bench.pool().submit((given: Uint8Array) => given.map((x) => x * 2), bytes));
      expect([doubled.length, doubled[0], doubled.at(-1)]).to.deep.equal([20_000_000, 14, 14]);
    });

    for (const [what, value] of Object.entries({
      undefined: undefined,
      null: null,
      'a number': 5,
      'a string': 'add',
      'an object': {},
      'an object with a call method': { call: () => 1 },
      'a promise': Promise.resolve(() => 1),
    })) {
      it(`submit() throws a TypeError when the callable is ${what}`, async () => {
        const pool = bench.pool();
        thrownBy(() => pool.submit(value as unknown as () => number), TypeError);
        expect(pool.stats()).to.include({ submitted: 0, failed: 0 });
        expect(await settled(pool.submit(() => 1))).to.equal(1);
      });
    }

    it('submit() rejects with a DataCloneError that names the position of an argument and the path in it', async () => {
      const take = (...args: unknown[]) => args.length;
      const pool = bench.pool();
      const inside = await rejectionOf(pool.submit(take, 'first', { deep: { items: [1, { callback: () => 1 }] } }));
      expect(inside).to.include({ name: 'DataCloneError' });
      expect((inside as Error).message)
        .to.match(/\b2\b/)
        .and.to.include('deep.items[1].callback');
      const whole = await rejectionOf(pool.submit(take, 1, 2, Symbol('mine')));
      expect(whole).to.include({ name: 'DataCloneError' });
      expect((whole as Error).message)
        .to.match(/\b3\b/)
        .and.to.include('mine');
      expect(whole).to.be.instanceOf(Error);
    });

    it('submit() rejects with a DataCloneError that names the path in the result', async () => {
      const pool = bench.pool();
      const error = await rejectionOf(pool.submit(() => ({ deep: { items: [1, { callback: () => 1 }] } })));
      expect(error).to.include({ name: 'DataCloneError' });
      expect((error as Error).message).to.include('deep.items[1].callback');
      expect(await settled(pool.submit(() => 1))).to.equal(1);
    });

    it('submit() fails only the future whose argument cannot be cloned', async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      const futures = [1, 2, () => 3, 4, Symbol('5'), 6].map((value) => pool.submit((x: unknown) => x, value));
      const { done } = await settled(wait(futures));
      expect(done.size).to.equal(6);
      expect(futures.map((future) => future.outcome()?.status)).to.deep.equal([
        'fulfilled',
        'fulfilled',
        'rejected',
        'fulfilled',
        'rejected',
        'fulfilled',
      ]);
    });

    it('submit() never calls the callable whose argument cannot be cloned', async () => {
      const pool = bench.pool();
      const tally = bench.tally();
      await rejectionOf(pool.submit(touch, tally.token, (() => 1) as unknown as number));
      await settled(pool.join());
      expect(tally.total).to.equal(0);
    });

    it('submit() ends two thousand tasks with the result of each', async () => {
      const pool = bench.pool({ maxWorkers: 2 });
      const futures = Array.from({ length: 2000 }, (_, i) => pool.submit((x: number) => x * 2, i));
      expect(await settled(Promise.all(futures))).to.deep.equal(Array.from({ length: 2000 }, (_, i) => i * 2));
      expect(pool.stats()).to.include({ submitted: 2000, completed: 2000, failed: 0, cancelled: 0, queued: 0 });
    });

    it('submit() begins tasks in the order of their submission', async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      const note = (x: number) => {
        ((globalThis as unknown as { order?: number[] }).order ??= []).push(x);
      };
      for (let i = 0; i < 100; i++) pool.submit(note, i);
      const order = await settled(pool.submit(() => (globalThis as unknown as { order: number[] }).order));
      expect(order).to.deep.equal(Array.from({ length: 100 }, (_, i) => i));
    });

    it('submit() may be called from a done callback', async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      const result = new Promise<number>((resolve, reject) => {
        pool
          .submit((x: number) => x + 1, 1)
          .addDoneCallback((first) => {
            first.then((value) => pool.submit((x: number) => x + 1, value)).then(resolve, reject);
          });
      });
      expect(await settled(result)).to.equal(3);
    });

    it('submit() starts workers as tasks need them and lets idle ones do the next task', async () => {
      const pool = bench.pool({ maxWorkers: 4 });
      expect(pool.stats()).to.include({ workers: 0, idle: 0, busy: 0 });
      for (const [a, b] of [
        [21, 2],
        [6, 7],
        [3, 14],
      ] as const) {
        expect(await settled(pool.submit((x: number, y: number) => x * y, a, b))).to.equal(42);
      }
      expect(pool.stats()).to.include({ workers: 1, idle: 1, busy: 0 });
    });

    it('submit() starts no more workers than tasks were at work at once', async () => {
      const pool = bench.pool({ maxWorkers: 4 });
      const square = (x: number) => x * x;
      for (let i = 0; i < 3; i++) {
        const unread = pool.submit(square, i);
        await settled(pool.submit(square, i));
        await settled(unread);
      }
      expect(pool.stats().workers).to.be.at.most(2);
    });

    it('submit() fills all workers, and no more than maxWorkers', async () => {
      const pool = bench.pool({ maxWorkers: 4 });
      const gate = bench.gate();
      const futures = Array.from({ length: 60 }, (_, i) => pool.submit(passGate, gate.token, i));
      await gate.arrived(4);
      expect(pool.stats()).to.include({ workers: 4, busy: 4, idle: 0, running: 4, queued: 56, submitted: 60 });
      gate.open();
      expect(await settled(Promise.all(futures))).to.deep.equal(Array.from({ length: 60 }, (_, i) => i));
      expect(pool.stats()).to.include({ workers: 4, busy: 0, idle: 4, running: 0, queued: 0, completed: 60 });
    });

    it('submit() has tasks behind a blocked one done by another worker', async () => {
      const pool = bench.pool({ maxWorkers: 2 });
      await settled(pool.submit(() => 1));
      const gate = bench.gate();
      const blocked = pool.submit(passGate, gate.token, 1);
      const others = Array.from({ length: 20 }, (_, i) => pool.submit((x: number) => x, i));
      expect(await settled(Promise.all(others))).to.have.length(20);
      expect(blocked.done()).to.equal(false);
      gate.open();
      expect(await settled(blocked)).to.equal(1);
    });

    it('submit() runs tasks of different workers at the same time', async () => {
      const pool = bench.pool({ maxWorkers: 3 });
      const gate = bench.gate();
      const futures = [0, 1, 2].map((i) => pool.submit(passGate, gate.token, i));
      await gate.arrived(3);
      expect(futures.map((future) => future.running())).to.deep.equal([true, true, true]);
      gate.open();
      expect(await settled(Promise.all(futures))).to.deep.equal([0, 1, 2]);
    });

    it('running() is true only from when a worker has begun the task', async () => {
      const { pool, gate, blocker } = await bench.blocked();
      const second = bench.gate();
      const future = pool.submit(passGate, second.token, 5);
      await turns();
      expect([blocker.running(), future.running(), future.done()]).to.deep.equal([true, false, false]);
      gate.open();
      await second.arrived();
      expect([future.running(), future.done()]).to.deep.equal([true, false]);
      second.open();
      expect(await settled(future)).to.equal(5);
      expect([future.running(), future.done()]).to.deep.equal([false, true]);
    });

    it('result() with a timeout rejects while the task goes on', async () => {
      const { gate, blocker } = await bench.blocked();
      expect(await rejectionOf(blocker.result(0))).to.include({ name: 'TimeoutError' });
      expect(await rejectionOf(blocker.exception(5))).to.include({ name: 'TimeoutError' });
      gate.open();
      expect(await settled(blocker.result(60_000))).to.equal(0);
    });

    it('done callbacks run with the future, in the order added, before the result is awaited', async () => {
      const seen: unknown[] = [];
      const future = bench.pool().submit((x: number) => x, 1);
      future.addDoneCallback((done) => seen.push(1, done === future, done.done()));
      future.addDoneCallback(() => seen.push(2));
      await settled(future);
      expect(seen).to.deep.equal([1, true, true, 2]);
    });

    it('executors let go of arguments, results, callbacks, futures and callables that are done', async function () {
      this.timeout(30_000);
      const script = new URL('../fixtures/references.js', import.meta.url);
      const { code, stdout, stderr } = await runScript(script, [capabilities.module], ['--expose-gc']);
      expect(stderr).to.equal('');
      expect(JSON.parse(stdout)).to.deep.equal({
        argument: true,
        result: true,
        callback: true,
        future: true,
        callable: true,
        cancelledArgument: true,
        mapped: true,
        submitter: true,
      });
      expect(code).to.equal(0);
    });

    it('when a future fails, those whose tasks ended before it are done, in one worker', async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      const give = (i: number): unknown => {
        if (i % 5 === 3) return 'x'.repeat(5000);
        if (i % 5 === 4) throw new Error(String(i));
        return i % 5 === 2 ? { i } : i;
      };
      await settled(Promise.allSettled(Array.from({ length: 100 }, (_, i) => pool.submit(give, i))));
      for (let round = 0; round < 20; round++) {
        const late: number[] = [];
        const futures = Array.from({ length: 50 }, (_, i) => pool.submit(give, i));
        for (const [i, future] of futures.entries()) {
          if (i % 5 !== 4) continue;
          future.addDoneCallback(() => {
            for (let before = 0; before < i; before++) if (futures[before]?.done() !== true) late.push(before);
          });
        }
        await settled(Promise.allSettled(futures));
        expect(late).to.deep.equal([]);
      }
    });

    it('two executors at once do not disturb each other', async () => {
      const one = bench.pool({ maxWorkers: 1 });
      const two = bench.pool({ maxWorkers: 1 });
      const gate = bench.gate();
      const blocked = one.submit(passGate, gate.token, 1);
      await gate.arrived();
      expect(await settled(two.submit(() => 2))).to.equal(2);
      await settled(two.terminateWorkers());
      gate.open();
      expect(await settled(blocked)).to.equal(1);
    });

    it('an executor may be made and used inside of a task', async () => {
      const plain = bench.pool({ maxWorkers: 1 }).submit(async (module: string) => {
        const { makeExecutor: make } = (await import(module)) as { makeExecutor: MakeExecutor };
        const inner = make({ maxWorkers: 1 });
        const result = await inner.submit((x: number) => x + 1, 41);
        await inner.shutdown();
        return result;
      }, capabilities.module);
      expect(await settled(plain)).to.equal(42);
    });
  });
}
