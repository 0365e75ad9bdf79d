import { expect } from 'chai';
import { proxy, tasksFrom, WorkerDiedError } from 'concurrent-futures';
import {
  Celsius,
  dieOnce,
  learnValues,
  MouseError,
  naturals,
  naturalsLater,
  naturalsThenSlow,
  portsAndAFunction,
  unclonableAt,
  whoYields,
  yieldThenDie,
} from '../fixtures/values.js';
import { Gate, type GateToken, passGate } from '../support/gate.js';
import { type Capabilities, type MakeExecutor, useBench } from '../support/pool-under-test.js';
import { eventually, instance, rejectionAs, rejectionOf, settled, turns } from '../support/watchdog.js';

const upTo = function* (end: number): Generator<number> {
  for (let i = 0; i < end; i++) yield i;
};

/** Says that no more will be read. */
function finish(stream: AsyncIterator<unknown>, value?: unknown): Promise<unknown> {
  return stream.return?.(value) ?? Promise.reject(new Error('the stream has no return()'));
}

/** The items of a stream, and what ended it early. */
async function drain(stream: AsyncIterable<unknown>): Promise<{ items: unknown[]; error: unknown }> {
  const items: unknown[] = [];
  const reading = (async () => {
    for await (const item of stream) items.push(item);
  })();
  const error: unknown = await settled(
    reading.then(
      () => undefined,
      (reason: unknown) => reason,
    ),
    'the end of the stream',
  );
  return { items, error };
}

/** Generators that run in a worker and are read here. */
export function describeStreams(name: string, makeExecutor: MakeExecutor, capabilities: Capabilities): void {
  describe(`${name}: streams of results`, () => {
    const bench = useBench(makeExecutor, capabilities);

    it('stream() yields what a sync generator yields, in order, and its return value ends it', async () => {
      const stream = bench.pool().stream(function* (end: number) {
        for (let i = 0; i < end; i++) yield i;
        return 'the end';
      }, 1000);
      for (let i = 0; i < 1000; i++) expect(await settled(stream.next())).to.deep.equal({ value: i, done: false });
      expect(await settled(stream.next())).to.deep.equal({ value: 'the end', done: true });
      expect(await settled(stream.next())).to.deep.equal({ value: undefined, done: true });
    });

    it('stream() yields what an async generator yields, and what promises of a sync one give', async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      const later = pool.stream(async function* () {
        for (let i = 0; i < 3; i++) yield await Promise.resolve(i);
      });
      expect(await drain(later)).to.deep.equal({ items: [0, 1, 2], error: undefined });
      const promises = pool.stream(function* () {
        yield Promise.resolve(1);
        yield 2;
        yield Promise.reject(new RangeError('a promise that failed'));
      });
      const { items, error } = await drain(promises);
      expect(items).to.deep.equal([1, 2]);
      expect(instance(error, RangeError).message).to.equal('a promise that failed');
    });

    it('stream() waits for room in a full queue, and does not throw', async () => {
      const { pool, gate, blocker } = await bench.blocked({ maxQueueSize: 1 });
      const waiting = pool.submit(() => 'waiting');
      const reading = drain(pool.stream(upTo, 3));
      await turns();
      expect(waiting.done()).to.equal(false);
      gate.open();
      expect((await reading).items).to.deep.equal([0, 1, 2]);
      await settled(Promise.all([blocker, waiting]));
    });

    it('stream() of what gives no generator rejects with a TypeError', async () => {
      const stream = bench.pool().stream((() => 5) as never);
      const error = await rejectionAs(stream.next(), TypeError);
      expect(error.message).to.include('generator');
    });

    for (const generator of [naturals, naturalsLater as unknown as typeof naturals]) {
      it(`${generator.name} never ends, runs ahead by no more than the mark, and break runs its finally`, async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const tally = bench.tally(3);
        let read = 0;
        for await (const item of pool.stream(generator, tally.token)) {
          expect(item).to.equal(read++);
          if (read === 100) {
            await turns(10);
            expect(tally.at(1)).to.be.within(100, 117);
          }
          if (read === 200) break;
        }
        expect(tally.at(2), 'the finally').to.equal(1);
        expect(tally.at(1)).to.be.at.most(217);
        expect(await settled(pool.submit(() => 1))).to.equal(1);
      });
    }

    it('highWaterMark says how far the generator runs ahead; at 0 it runs only when it is asked', async () => {
      const pool = bench.pool({ maxWorkers: 2 });
      for (const mark of [0, 3]) {
        const tally = bench.tally(3);
        const stream = pool.with({ highWaterMark: mark }).stream(naturals, tally.token);
        for (let i = 0; i < 10; i++) await settled(stream.next());
        await turns(10);
        expect(tally.at(1)).to.be.within(10, 10 + mark);
        await settled(finish(stream));
        expect(tally.at(2)).to.equal(1);
      }
    });

    it('a generator whose items become slow, or large, is few of them ahead again', async () => {
      const tally = bench.tally(1);
      const fast = 50_000;
      const stream = bench.pool({ maxWorkers: 1 }).stream(naturalsThenSlow, tally.token, fast);
      const reading = (async () => {
        for (let i = 0; i <= fast; i++) await stream.next();
      })();
      await settled(reading);
      // It is paused when nothing is made any more.
      let made = -1;
      await eventually(() => {
        const before = made;
        made = tally.at(0);
        return made === before;
      }, 'the pause');
      expect(made).to.be.within(1, 200);
      await settled(finish(stream));
    });

    it('an item that is made is delivered while a sync generator takes its time to make the next', async () => {
      const gate = bench.gate();
      const stream = bench.pool({ maxWorkers: 1 }).stream(
        (0, eval)(`(function* (token) {
          yield 'apple';
          yield 'banana';
          const end = performance.now() + 5;
          while (performance.now() < end);
          yield 'cherry';
          yield (${passGate.toString()})(token);
        })`) as (token: GateToken) => Generator,
        gate.token,
      );
      for (const value of ['apple', 'banana', 'cherry']) {
        expect(await settled(stream.next(), value)).to.deep.equal({ value, done: false });
      }
      gate.open();
      expect(await settled(stream.next())).to.deep.equal({ value: 0, done: false });
    });

    it('a stream whose reader never reads does not begin, and one that stops reading is paused', async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      const tally = bench.tally(3);
      const unread = pool.stream(naturals, tally.token);
      await settled(pool.submit(() => 1));
      expect(tally.at(0)).to.equal(0);
      expect(await settled(finish(unread, 'x'))).to.deep.equal({
        value: 'x',
        done: true,
      });
      expect(await settled(unread.next())).to.deep.equal({ value: undefined, done: true });
      expect(tally.at(0)).to.equal(0);
    });

    it('next(value) is what yield gives in the generator', async () => {
      const stream = bench.pool().stream(function* (): Generator<unknown, string, unknown> {
        let got: unknown = 'nothing yet';
        for (;;) {
          got = yield got;
          if (got === 'stop') return 'stopped';
        }
      }) as AsyncIterator<unknown, unknown, unknown>;
      expect(await settled(stream.next('ignored'))).to.deep.equal({ value: 'nothing yet', done: false });
      for (const value of [1, undefined, { a: [1] }, null]) {
        expect(await settled(stream.next(value))).to.deep.equal({ value, done: false });
      }
      expect(await settled(stream.next('stop'))).to.deep.equal({ value: 'stopped', done: true });
    });

    it('a value sent in that cannot be cloned rejects that next(), and the stream goes on', async () => {
      const stream = bench.pool().stream(function* (): Generator<unknown, void, unknown> {
        let got: unknown;
        for (;;) got = yield got;
      }) as AsyncIterator<unknown, unknown, unknown>;
      await settled(stream.next());
      expect(await settled(stream.next(1))).to.deep.equal({ value: 1, done: false });
      expect(
        (
          await rejectionAs(
            stream.next(() => 1),
            DOMException,
          )
        ).name,
      ).to.equal('DataCloneError');
      expect(await settled(stream.next(2))).to.deep.equal({ value: 2, done: false });
      await settled(finish(stream));
    });

    it('calls of next() in parallel get the items in their order, and the end', async () => {
      const stream = bench.pool().stream(upTo, 50);
      const steps = await settled(Promise.all(Array.from({ length: 60 }, () => stream.next())));
      steps.forEach((step, i) => {
        if (i < 50) expect(step).to.deep.equal({ value: i, done: false });
        else expect(step.done).to.equal(true);
      });
    });

    it('an error comes at its place, whole, once', async () => {
      const pool = bench.pool({ initializer: learnValues });
      const stream = pool.stream(async function* (): AsyncGenerator<number> {
        yield 1;
        yield 2;
        const { MouseError: Mouse } = await import('../fixtures/values.js');
        throw Object.assign(new Mouse('in the generator'), { holes: 2 });
      });
      const { items, error } = await drain(stream);
      expect(items).to.deep.equal([1, 2]);
      expect(instance(error, MouseError)).to.include({ message: 'in the generator', holes: 2 });
      expect(await settled(stream.next())).to.deep.equal({ value: undefined, done: true });
    });

    it('an error of the reader in its loop runs the finally and is the reader’s', async () => {
      const tally = bench.tally(3);
      const stream = bench.pool().stream(naturals, tally.token);
      const reading = (async () => {
        for await (const item of stream) if (item === 20) throw new RangeError('of the reader');
      })();
      expect((await rejectionAs(reading, RangeError)).message).to.equal('of the reader');
      expect(tally.at(2)).to.equal(1);
    });

    it('return() while calls of next() are pending ends them, and runs the finally', async () => {
      const gate = bench.gate();
      const tally = bench.tally(3);
      const pool = bench.pool({ maxWorkers: 1 });
      const stream = pool.stream(
        async function* (open: GateToken, ends: typeof tally.token): AsyncGenerator<number> {
          try {
            yield 1;
            if (typeof open !== 'string') {
              Atomics.store(open, 1, 1);
              Atomics.notify(open, 1);
              await (Atomics as unknown as { waitAsync: (...args: unknown[]) => { value: unknown } }).waitAsync(
                open,
                0,
                0,
              ).value;
            }
            yield 2;
          } finally {
            if (typeof ends !== 'string') Atomics.add(ends, 2, 1);
          }
        },
        gate.token,
        tally.token,
      );
      await settled(stream.next());
      const pending = [stream.next(), stream.next()];
      if (capabilities.sharedMemory) await gate.arrived();
      const returned = finish(stream, 'over');
      gate.open();
      expect(await settled(returned)).to.deep.equal({ value: 'over', done: true });
      for (const step of await settled(Promise.all(pending))) {
        if (step.done !== true) expect(step.value).to.equal(2);
      }
      if (capabilities.sharedMemory) expect(tally.at(2)).to.equal(1);
    });

    it('return() while the module of the generator loads ends it, and frees its slot', async () => {
      using loading = new Gate(false);
      const url = new URL('../fixtures/gated-module.js', import.meta.url);
      url.searchParams.set('gate', String(loading.token));
      const { countFrom } = tasksFrom<typeof import('../fixtures/gated-module.js')>(url);
      const pool = bench.pool({ maxWorkers: 1 });
      const stream = pool.stream(countFrom, 1);
      const first = stream.next();
      await loading.arrived(1);
      const returned = finish(stream);
      loading.open();
      expect(await settled(returned, 'return()')).to.deep.equal({ value: undefined, done: true });
      expect(await settled(first)).to.deep.equal({ value: undefined, done: true });
      expect(await settled(pool.submit(() => 'apple'))).to.equal('apple');
    });

    it('what the finally throws rejects return()', async () => {
      const stream = bench.pool().stream(function* (): Generator<number> {
        try {
          for (;;) yield 1;
        } finally {
          // eslint-disable-next-line no-unsafe-finally -- what this is about
          throw new RangeError('from the finally');
        }
      });
      await settled(stream.next());
      const error = await rejectionAs(finish(stream), RangeError);
      expect(error.message).to.equal('from the finally');
    });

    for (const place of [0, 1, 5]) {
      it(`item ${String(place)} that cannot be cloned ends the stream there, says where, and runs the finally`, async () => {
        const tally = bench.tally(3);
        const { items, error } = await drain(bench.pool().stream(unclonableAt, place, tally.token));
        expect(items).to.deep.equal(Array.from({ length: place }, (_, i) => i));
        const refused = instance(error, DOMException);
        expect(refused.name).to.equal('DataCloneError');
        expect(refused.message).to.include('unclonableAt').and.include('.inside.callback');
        expect(tally.at(2), 'the finally').to.equal(1);
      });
    }

    if (capabilities.sharedMemory) {
      it('items that are moved arrive, also before one that cannot be cloned', async () => {
        const { items, error } = await drain(bench.pool().stream(portsAndAFunction));
        expect(instance(error, DOMException).name).to.equal('DataCloneError');
        expect(items).to.have.length(3);
        for (const [i, port] of (items as InstanceType<typeof MessagePort>[]).entries()) {
          const got = await settled(
            new Promise((resolve) => {
              port.on('message', resolve);
            }),
          );
          expect(got).to.equal(i);
          port.close();
        }
      });
    }

    it('items that need a handler are handled, and so are arguments', async () => {
      const pool = bench.pool({ initializer: learnValues });
      const stream = pool.stream(
        async function* (url: URL, callback: (x: number) => unknown): AsyncGenerator {
          yield url;
          yield await callback(1);
          yield new URL('b', url);
        },
        new URL('http://example.org/a'),
        proxy((x: number) => new Celsius(x)),
      );
      const { items, error } = await drain(stream);
      expect(error).to.equal(undefined);
      expect(items.map((item) => (item instanceof URL ? item.href : (item as Celsius).degrees))).to.deep.equal([
        'http://example.org/a',
        1,
        'http://example.org/b',
      ]);
      expect(items[1]).to.be.instanceOf(Celsius);
    });

    it('the death of the worker comes after the items that it had sent', async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      const { items, error } = await drain(pool.stream(yieldThenDie, 5));
      expect(instance(error, WorkerDiedError).exitCode).to.equal(5);
      expect(items).to.deep.equal([0, 1, 2, 3, 4].slice(0, items.length));
      expect(await settled(pool.submit(() => 1))).to.equal(1);
    });

    it('with({ retries }) tries a stream again that had yielded nothing', async () => {
      const { items, error } = await drain(bench.pool().with({ retries: 1 }).stream(dieOnce, 0));
      expect(error).to.equal(undefined);
      expect(items).to.deep.equal([100]);
    });

    it('with({ signal }) and with({ timeout }) end a stream with their reasons', async () => {
      const pool = bench.pool({ maxWorkers: 2 });
      const controller = new AbortController();
      const tally = bench.tally(3);
      const stream = pool.with({ signal: controller.signal }).stream(naturals, tally.token);
      for (let i = 0; i < 20; i++) await settled(stream.next());
      controller.abort(new MouseError('aborted'));
      expect(await drain(stream))
        .to.have.property('error')
        .that.is.instanceOf(MouseError);
      const slow = pool.with({ timeout: 30 }).stream(async function* (): AsyncGenerator<number> {
        yield 1;
        await new Promise(() => undefined);
      });
      const { error } = await drain(slow);
      expect(instance(error, Error).name).to.equal('TimeoutError');
      expect(await settled(pool.submit(() => 1))).to.equal(1);
    });

    it('a signal that is aborted already ends the stream before it began', async () => {
      const stream = bench.pool().with({ signal: AbortSignal.abort() }).stream(upTo, 3);
      instance(await rejectionOf(stream.next()), Error);
    });

    it('10,000 short streams are read, many at a time', async () => {
      const pool = bench.pool({ maxWorkers: 2, concurrentTasksPerWorker: 50 });
      let sum = 0;
      const read = async () => {
        for (let i = 0; i < 100; i++) for await (const item of pool.stream(upTo, 3)) sum += item;
      };
      await settled(Promise.all(Array.from({ length: 100 }, read)));
      expect(sum).to.equal(30_000);
      await settled(pool.join());
      expect(pool.stats()).to.include({ running: 0, queued: 0 });
    });

    it('items of 50 MB pass', async () => {
      const { items } = await drain(
        bench.pool().stream(function* (length: number): Generator<string> {
          yield 'x'.repeat(length);
          yield 'y';
        }, 50_000_000),
      );
      expect((items as string[]).map((item) => item.length)).to.deep.equal([50_000_000, 1]);
    });

    it('currentTask() tells a generator about itself at each step', async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      const stream = pool.stream(whoYields);
      const steps = [await settled(stream.next()), await settled(stream.next()), await settled(stream.next())];
      const told = steps.map((step) => step.value as { id: number; attempt: number });
      expect(told[1]).to.deep.equal(told[0]);
      expect(told[2]).to.deep.equal(told[0]);
      expect(told[0]?.attempt).to.equal(1);
      await settled(finish(stream));
    });

    it('streams that interleave in one worker do not mix', async () => {
      const pool = bench.pool({ maxWorkers: 1, concurrentTasksPerWorker: 3 });
      const read = async (from: number) => {
        const stream = pool.stream(async function* (first: number): AsyncGenerator<number> {
          for (let i = 0; i < 100; i++) {
            if (i % 7 === 0) await new Promise((resolve) => setTimeout(resolve, 0));
            yield first + i;
          }
        }, from);
        return (await drain(stream)).items;
      };
      const all = await settled(Promise.all([read(0), read(1000), read(2000)]));
      all.forEach((items, k) => {
        expect(items).to.deep.equal(Array.from({ length: 100 }, (_, i) => k * 1000 + i));
      });
    });

    it('shutdown() waits for a stream that is being read', async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      const stream = pool.stream(upTo, 30);
      await settled(stream.next());
      const gone = pool.shutdown();
      expect((await drain(stream)).items).to.have.length(29);
      await settled(gone);
      await eventually(() => pool.stats().workers === 0, 'the end of the workers');
    });

    it('terminateWorkers() ends a stream with an error', async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      const stream = pool.stream(naturals, bench.tally(3).token);
      await settled(stream.next());
      await settled(pool.terminateWorkers());
      instance((await drain(stream)).error, capabilities.BrokenPool as typeof Error);
    });
  });
}
