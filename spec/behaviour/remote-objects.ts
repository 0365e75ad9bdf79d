import { inspect } from 'node:util';
import { expect } from 'chai';
import { proxy, tasksFrom, WorkerDiedError } from 'concurrent-futures';
import { Brook, Counter, learnValues, MouseError } from '../fixtures/values.js';
import { collectGarbage } from '../support/garbage.js';
import { type Capabilities, type MakeExecutor, useBench } from '../support/pool-under-test.js';
import { eventually, instance, rejectionAs, settled, turns } from '../support/watchdog.js';

/** Objects that live in a worker. */
export function describeRemoteObjects(name: string, makeExecutor: MakeExecutor, capabilities: Capabilities): void {
  describe(`${name}: remote objects`, () => {
    const bench = useBench(makeExecutor, capabilities);

    it('create() constructs an object in one worker, whose calls are all made there', async () => {
      const pool = bench.pool({ maxWorkers: 3 });
      const counter = await settled(pool.create(Counter, 10));
      const threads = new Set<string>();
      for (let i = 0; i < 20; i++) {
        threads.add(await settled(counter.thread()));
        await settled(counter.add(1));
      }
      expect(threads.size).to.equal(1);
      expect(await settled(counter.count)).to.equal(30);
      expect(await settled(counter.notes)).to.deep.equal([]);
      counter.release();
    });

    it('create() takes a class with a static member called name', async () => {
      class Named {
        static name(): string {
          return 'apple';
        }
        twice(x: number): number {
          return 2 * x;
        }
      }
      const pool = bench.pool({ maxWorkers: 1 });
      const named = await settled(pool.create(Named as never as new () => { twice(x: number): number }));
      expect(await settled(named.twice(2))).to.equal(4);
    });

    it('create() takes classes by task(), by tasksFrom(), and by their source', async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      const url = new URL('../fixtures/values.js', import.meta.url);
      const { Counter: Reference } = tasksFrom<typeof import('../fixtures/values.js')>(url);
      const byReference = await settled(pool.create(Reference, 1));
      expect(await settled(byReference.add(1))).to.equal(2);
      class Sum {
        #sum = 0;
        add(...numbers: number[]): number {
          for (const number of numbers) this.#sum += number;
          return this.#sum;
        }
      }
      const bySource = await settled(pool.create(Sum));
      expect(await settled(bySource.add(1, 2))).to.equal(3);
      expect(await settled(bySource.add(4))).to.equal(7);
    });

    it('create() rejects with what the constructor throws, and for what is no class', async () => {
      const pool = bench.pool({ maxWorkers: 1, initializer: learnValues });
      const error = await rejectionAs(pool.create(Counter, -1), MouseError);
      expect(error.message).to.include('below zero');
      await rejectionAs(pool.create((() => ({})) as never), Error);
      await rejectionAs(pool.create(5 as never), TypeError);
      const url = new URL('../fixtures/values.js', import.meta.url);
      const { Missing } = tasksFrom<{ Missing: typeof Counter }>(url);
      expect((await rejectionAs(pool.create(Missing), Error)).message).to.include('Missing');
      expect(await settled(pool.submit(() => 1))).to.equal(1);
    });

    it('create() and calls take callbacks, which live as long as the object', async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      class Reporter {
        #callback: (text: string) => unknown;
        constructor(callback: (text: string) => unknown) {
          this.#callback = callback;
        }
        async report(text: string): Promise<void> {
          await this.#callback(text);
        }
      }
      const heard: string[] = [];
      const reporter = await settled(
        pool.create(
          Reporter,
          proxy((text: string) => heard.push(text)),
        ),
      );
      await settled(pool.submit(() => 1));
      await settled(reporter.report('one'));
      await settled(reporter.report('two'));
      expect(heard).to.deep.equal(['one', 'two']);
      const counter = await settled(pool.create(Counter, 3));
      await settled(counter.report(proxy((count: number) => heard.push(String(count)))));
      expect(heard).to.deep.equal(['one', 'two', '3']);
    });

    it('methods take and give web streams and responses', async () => {
      const brook = await settled(bench.pool({ maxWorkers: 1 }).create(Brook));
      const stream = await settled(brook.streamOf(1, null, 'brie'));
      expect(await settled(brook.read(stream))).to.deep.equal([1, null, 'brie']);
      const response = await settled(brook.response('gouda'));
      expect(response.status).to.equal(201);
      expect(await settled(brook.textOf(response))).to.equal('gouda');
    });

    it('calls interleave with each other and with tasks', async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      const gate = bench.gate();
      const counter = await settled(pool.create(Counter, 0));
      const later = counter.addLater(5, gate.token);
      await gate.arrived();
      expect(await settled(counter.add(1))).to.equal(1);
      expect(await settled(pool.submit(() => 1))).to.equal(1);
      gate.open();
      expect(await settled(later)).to.equal(6);
    });

    it('1,000 calls at once are answered, in order', async () => {
      const counter = await settled(bench.pool({ maxWorkers: 1 }).create(Counter, 0));
      const results = await settled(Promise.all(Array.from({ length: 1000 }, () => counter.add(1))));
      expect(results).to.deep.equal(Array.from({ length: 1000 }, (_, i) => i + 1));
    });

    it('a call rejects with what the method throws, whole', async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      const counter = await settled(pool.create(Counter, 0));
      const error = await rejectionAs(counter.fail(), MouseError);
      expect(error.message).to.equal('the counter is stuck');
      expect(instance(error.cause, TypeError).message).to.equal('rust');
      const missing = (counter as unknown as { missing(): Promise<unknown> }).missing();
      await rejectionAs(missing, TypeError);
      expect(await settled(counter.add(1))).to.equal(1);
    });

    it('what a call cannot send, or give back, rejects it with a DataCloneError that says where', async () => {
      const counter = await settled(bench.pool({ maxWorkers: 1 }).create(Counter, 0));
      const sent = await rejectionAs(counter.sizeOf(1, { deep: [() => 1] }), DOMException);
      expect(sent.name).to.equal('DataCloneError');
      expect(sent.message).to.include('Argument 2').and.include('.deep[0]');
      const given = await rejectionAs(counter.unclonable(), DOMException);
      expect(given.name).to.equal('DataCloneError');
      expect(given.message).to.include('.deep.down');
      expect(await settled(counter.add(1))).to.equal(1);
    });

    it('the death of the worker rejects calls in flight and later ones with a WorkerDiedError', async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      const counter = await settled(pool.create(Counter, 0));
      const waiting = counter.never();
      const dying = counter.die(3);
      await rejectionAs(waiting, WorkerDiedError);
      await rejectionAs(dying, WorkerDiedError);
      await rejectionAs(counter.add(1), WorkerDiedError);
      const again = await settled(pool.create(Counter, 1));
      expect(await settled(again.add(1))).to.equal(2);
    });

    it('terminateWorkers() and shutdown() reject calls in flight', async () => {
      for (const end of ['terminateWorkers', 'shutdown'] as const) {
        const pool = bench.pool({ maxWorkers: 1 });
        const counter = await settled(pool.create(Counter, 0));
        const waiting = rejectionAs(counter.never(), WorkerDiedError);
        await settled(pool[end]());
        await waiting;
      }
    });

    it('release() rejects calls in flight and later ones, and twice is once; using releases', async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      const counter = await settled(pool.create(Counter, 0));
      const waiting = counter.never();
      counter.release();
      counter.release();
      // Nobody has died.
      expect(await rejectionAs(waiting, Error)).not.to.be.instanceOf(WorkerDiedError);
      expect(await rejectionAs(counter.add(1), Error)).not.to.be.instanceOf(WorkerDiedError);
      let kept: typeof counter;
      {
        // eslint-disable-next-line @typescript-eslint/no-misused-promises -- the handle's own dispose gives nothing
        using other = await settled(pool.create(Counter, 0));
        kept = other;
        expect(await settled(other.add(1))).to.equal(1);
      }
      await rejectionAs(kept.add(1), Error);
    });

    it('a worker in which an object lives is kept, and let go with the object', async () => {
      const pool = bench.pool({ maxWorkers: 1, idleTimeout: 1 });
      const counter = await settled(pool.create(Counter, 0));
      await new Promise((resolve) => setTimeout(resolve, 50));
      expect(await settled(counter.add(1))).to.equal(1);
      counter.release();
      await eventually(() => pool.stats().workers === 0, 'the end of the worker');
    });

    it('a worker that only its objects keep, after its last task, is replaced for other tasks', async () => {
      const pool = bench.pool({ maxWorkers: 1, maxTasksPerWorker: 1 });
      const counter = await settled(pool.create(Counter, 5));
      expect(await settled(pool.submit(() => 2))).to.equal(2);
      expect(await settled(counter.add(1))).to.equal(6);
      counter.release();
      await eventually(() => pool.stats().workers === 0, 'the end of the workers');
    });

    it('resize() ends workers without objects first', async () => {
      const pool = bench.pool({ maxWorkers: 2, minWorkers: 2 });
      const counter = await settled(pool.create(Counter, 5));
      await eventually(() => pool.stats().idle === 2, 'both workers');
      await settled(pool.resize({ maxWorkers: 1, minWorkers: 0 }));
      expect(await settled(counter.add(1))).to.equal(6);
      counter.release();
    });

    it('resize() ends a worker with objects when they are released', async () => {
      // Each object in a worker of its own.
      const pool = bench.pool({ maxWorkers: 2, maxTasksPerWorker: 1 });
      const counters = [await settled(pool.create(Counter, 5)), await settled(pool.create(Counter, 5))];
      expect(pool.stats().workers).to.equal(2);
      const shrunk = pool.resize({ maxWorkers: 1 });
      for (const counter of counters) expect(await settled(counter.add(1))).to.equal(6);
      for (const counter of counters) counter.release();
      await settled(shrunk);
    });

    it('a worker is let go when its object was dropped without a release()', async () => {
      const pool = bench.pool({ maxWorkers: 1, maxTasksPerWorker: 1 });
      const use = async () => {
        const counter = await settled(pool.create(Counter, 5));
        return settled(counter.add(1));
      };
      expect(await use()).to.equal(6);
      expect(await use()).to.equal(6);
      for (let i = 0; i < 100 && pool.stats().workers > 0; i++) {
        await collectGarbage();
        await turns();
      }
      expect(pool.stats().workers).to.equal(0);
    });

    it('a remote object is no promise, and may be looked at from all sides', async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      const counter = await settled(pool.create(Counter, 5));
      expect(await settled(Promise.resolve(counter))).to.equal(counter);
      expect(inspect(counter)).to.be.a('string');
      expect(inspect([{ counter }])).to.be.a('string');
      expect(Object.prototype.toString.call(counter)).to.be.a('string');
      expect(await settled(counter.count)).to.equal(5);
    });

    it('100 objects share the workers, each with a state of its own', async () => {
      const pool = bench.pool({ maxWorkers: 2 });
      const counters = await settled(Promise.all(Array.from({ length: 100 }, (_, i) => pool.create(Counter, i))));
      const counts = await settled(Promise.all(counters.map((counter) => counter.add(1000))));
      expect(counts).to.deep.equal(counters.map((_, i) => 1000 + i));
      for (const counter of counters) counter.release();
    });
  });
}
