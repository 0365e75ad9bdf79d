import { availableParallelism } from 'node:os';
import { expect } from 'chai';
import { currentTask } from 'concurrent-futures/worker';
import { add, whoAmI, whoAmIBehind } from '../fixtures/tasks.js';
import { passGate, passGateAsync } from '../support/gate.js';
import {
  type Capabilities,
  type MakeExecutor,
  type Pool,
  type PoolOptions,
  useBench,
} from '../support/pool-under-test.js';
import { eventually, instance, rejectionOf, settled, thrownBy, turns } from '../support/watchdog.js';

const range = (length: number): number[] => Array.from({ length }, (_, i) => i);

/** Numbers the calls in one worker, from 1. */
const count = (): number => {
  const state = globalThis as { count?: number };
  state.count = (state.count ?? 0) + 1;
  return state.count;
};

/** What a call throws or what its promise rejects with. */
async function refusal(call: () => unknown): Promise<unknown> {
  return rejectionOf(Promise.resolve().then(call));
}

/** The workers of a pool: how many, their names, how long they live and how much they do at once. */
export function describeWorkers(name: string, makeExecutor: MakeExecutor, capabilities: Capabilities): void {
  describe(`${name}: workers`, () => {
    const bench = useBench(makeExecutor, capabilities);

    describe('options', () => {
      const numbers: Record<string, number[]> = {
        maxWorkers: [0, -1, 1.5, NaN],
        minWorkers: [-1, 0.5, NaN],
        minSpareWorkers: [-1, 0.5, NaN],
        idleTimeout: [-1, NaN],
        concurrentTasksPerWorker: [0, -1, 1.5, NaN],
        maxTasksPerWorker: [0, -1, 1.5, NaN],
        maxQueueSize: [-1, 1.5, NaN],
      };
      for (const [option, values] of Object.entries(numbers)) {
        for (const value of values) {
          it(`the constructor throws a RangeError that names the option for ${option}: ${String(value)}`, () => {
            const error = thrownBy(() => bench.pool({ [option]: value }), RangeError);
            expect(error.message).to.include(option);
          });
        }
        it(`the constructor throws a TypeError that names the option for ${option} as text`, () => {
          const error = thrownBy(() => bench.pool({ [option]: '2' }), TypeError);
          expect(error.message).to.include(option);
        });
      }

      it('the constructor throws a RangeError when minWorkers is above maxWorkers', () => {
        const error = thrownBy(() => bench.pool({ maxWorkers: 2, minWorkers: 3 }), RangeError);
        expect(error.message).to.match(/minWorkers|maxWorkers/);
      });

      it('the constructor takes undefined for the default', async () => {
        const options = {
          maxWorkers: undefined,
          minWorkers: undefined,
          maxQueueSize: undefined,
          initializer: undefined,
        };
        expect(await settled(bench.pool(options as unknown as PoolOptions).submit(add, 1, 2))).to.equal(3);
      });

      it('the constructor takes Infinity for queue size and idle time', async () => {
        const pool = bench.pool({ maxQueueSize: Infinity, idleTimeout: Infinity });
        expect(await settled(pool.submit(add, 1, 2))).to.equal(3);
      });

      it('the constructor does not read options from a polluted prototype', async () => {
        const prototype = Object.prototype as { maxWorkers?: number };
        prototype.maxWorkers = -1;
        try {
          expect(await settled(bench.pool({}).submit(add, 1, 2))).to.equal(3);
        } finally {
          delete prototype.maxWorkers;
        }
      });
    });

    it('maxWorkers is the available parallelism by default', async () => {
      const pool = bench.pool();
      const gate = bench.gate();
      const most = availableParallelism();
      const futures = range(most * 2).map(() => pool.submit(passGate, gate.token));
      await gate.arrived(most);
      expect(pool.stats()).to.include({ workers: most, busy: most, queued: most, running: most });
      gate.open();
      await settled(Promise.all(futures));
    });

    it('minWorkers are started at once and kept', async () => {
      const pool = bench.pool({ maxWorkers: 3, minWorkers: 2, idleTimeout: 1 });
      expect(pool.stats().workers).to.equal(2);
      const gate = bench.gate();
      const futures = range(3).map(() => pool.submit(passGate, gate.token));
      await gate.arrived(3);
      expect(pool.stats().workers).to.equal(3);
      gate.open();
      await settled(Promise.all(futures));
      await eventually(() => pool.stats().workers === 2, 'two workers');
      await turns(10);
      expect(pool.stats().workers).to.equal(2);
    });

    it('minSpareWorkers are kept ready beyond the busy ones, up to maxWorkers', async () => {
      const pool = bench.pool({ maxWorkers: 3, minSpareWorkers: 1 });
      expect(pool.stats().workers).to.equal(1);
      const gate = bench.gate();
      const futures = [pool.submit(passGate, gate.token)];
      await gate.arrived(1);
      await eventually(() => pool.stats().workers === 2, 'one spare worker');
      expect(pool.stats()).to.include({ busy: 1, idle: 1 });
      futures.push(pool.submit(passGate, gate.token));
      await gate.arrived(2);
      await eventually(() => pool.stats().workers === 3, 'one spare worker');
      futures.push(pool.submit(passGate, gate.token));
      await gate.arrived(3);
      await turns();
      expect(pool.stats()).to.include({ workers: 3, busy: 3, idle: 0 });
      gate.open();
      await settled(Promise.all(futures));
    });

    it('idleTimeout ends idle workers, and new ones start when there is work again', async () => {
      const pool = bench.pool({ maxWorkers: 2, idleTimeout: 5 });
      expect(await settled(pool.submit(count))).to.equal(1);
      await eventually(() => pool.stats().workers === 0, 'the end of the idle worker');
      expect(await settled(pool.submit(count))).to.equal(1);
      expect(pool.stats()).to.include({ completed: 2, failed: 0 });
    });

    it('idleTimeout does not end workers at work', async () => {
      const { pool, gate, blocker } = await bench.blocked({ idleTimeout: 1 });
      await turns(10);
      expect(pool.stats()).to.include({ workers: 1, busy: 1 });
      gate.open();
      expect(await settled(blocker)).to.equal(0);
    });

    it('idleTimeout of 0 loses no task', async () => {
      const pool = bench.pool({ maxWorkers: 2, idleTimeout: 0 });
      for (let i = 0; i < 10; i++) expect(await settled(pool.submit(add, i, 1))).to.equal(i + 1);
    });

    it('a worker that dies while idle is missed by nobody', async () => {
      const errors: unknown[] = [];
      const pool = bench.pool({ maxWorkers: 1, onWorkerError: (error) => errors.push(error) });
      await settled(
        pool.submit(() => {
          setTimeout(() => process.exit(5), 1);
        }),
      );
      await eventually(() => errors.length > 0 || pool.stats().workers === 0, 'the end of the worker');
      expect(await settled(pool.submit(add, 1, 2))).to.equal(3);
      expect(pool.stats()).to.include({ completed: 2, failed: 0 });
    });

    it('onWorkerError hears of an error that belongs to no task, and the pool goes on', async () => {
      let hear!: (error: unknown) => void;
      const heard = new Promise<unknown>((resolve) => {
        hear = resolve;
      });
      const pool = bench.pool({ maxWorkers: 1, onWorkerError: hear });
      await settled(
        pool.submit(() => {
          setTimeout(() => {
            throw new RangeError('stray');
          }, 1);
        }),
      );
      expect(instance(await settled(heard), Error).message).to.include('stray');
      expect(await settled(pool.submit(add, 1, 2))).to.equal(3);
    });

    it('threadNamePrefix and a number name the workers', async () => {
      const pool = bench.pool({ maxWorkers: 3, threadNamePrefix: 'SpecialPool' });
      const gate = bench.gate();
      const futures = range(3).map(() => pool.submit(whoAmIBehind, gate.token));
      await gate.arrived(3);
      gate.open();
      const names = await settled(Promise.all(futures));
      for (const worker of names) expect(worker).to.match(/^SpecialPool_\d+$/);
      expect(new Set(names).size).to.equal(3);
    });

    it('workers have sane names by default, which tell executors apart', async () => {
      const names: string[] = [];
      for (const pool of [bench.pool({ maxWorkers: 1 }), bench.pool({ maxWorkers: 1 })]) {
        names.push((await settled(pool.submit(whoAmI))).worker);
      }
      for (const worker of names) expect(worker).to.match(/^\w+-\d+_\d+$/);
      expect(new Set(names).size).to.equal(2);
    });

    it('currentTask() tells id, worker, attempt and signal', async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      const [first, second] = await settled(Promise.all([pool.submit(whoAmI), pool.submit(whoAmI)]));
      expect(first).to.include({ attempt: 1, aborted: false });
      expect([typeof first.id, typeof second.id]).to.deep.equal(['number', 'number']);
      expect(first.id).not.to.equal(second.id);
      expect(first.worker).to.equal(second.worker);
    });

    it('currentTask() throws where no task is', () => {
      thrownBy(() => currentTask(), Error);
    });

    it('maxTasksPerWorker replaces a worker after so many tasks', async () => {
      const pool = bench.pool({ maxWorkers: 1, maxTasksPerWorker: 3 });
      const counts: number[] = [];
      for (let i = 0; i < 7; i++) counts.push(await settled(pool.submit(count)));
      expect(counts).to.deep.equal([1, 2, 3, 1, 2, 3, 1]);
      expect(pool.stats().workers).to.be.at.most(1);
    });

    it('maxTasksPerWorker holds for tasks that are submitted all at once', async () => {
      const pool = bench.pool({ maxWorkers: 1, maxTasksPerWorker: 3 });
      const counts = await settled(Promise.all(range(10).map(() => pool.submit(count))));
      expect(counts).to.deep.equal([1, 2, 3, 1, 2, 3, 1, 2, 3, 1]);
    });

    it('maxTasksPerWorker counts tasks that fail, and not those that are cancelled', async () => {
      const { pool, gate } = await bench.blocked({ maxTasksPerWorker: 3 });
      const failing = pool.submit((): number => {
        throw new Error('counts');
      });
      const cancelled = range(5).map(() => pool.submit(count));
      const first = pool.submit(count);
      const second = pool.submit(count);
      for (const future of cancelled) future.cancel();
      gate.open();
      await rejectionOf(failing);
      expect(await settled(Promise.all([first, second]))).to.deep.equal([1, 1]);
    });

    it('maxTasksPerWorker holds also when tasks are interleaved', async () => {
      const pool = bench.pool({ maxWorkers: 1, maxTasksPerWorker: 2, concurrentTasksPerWorker: 4 });
      const counts = await settled(Promise.all(range(6).map(() => pool.submit(count))));
      expect(counts).to.deep.equal([1, 2, 1, 2, 1, 2]);
    });

    it('maxTasksPerWorker lets a shutdown right after the submits end everything', async () => {
      const pool = bench.pool({ maxWorkers: 3, maxTasksPerWorker: 1 });
      const futures = range(6).map((i) => pool.submit(add, i, i));
      await settled(pool.shutdown());
      expect(futures.map((future) => future.outcome())).to.deep.equal(
        range(6).map((i) => ({ status: 'fulfilled', value: 2 * i })),
      );
    });

    it('concurrentTasksPerWorker interleaves so many tasks in one worker', async () => {
      const pool = bench.pool({ maxWorkers: 1, concurrentTasksPerWorker: 3 });
      const gate = bench.gate();
      const futures = range(5).map((i) => pool.submit(passGateAsync, gate.token, i));
      await gate.arrived(3);
      await turns();
      expect(gate.arrivals).to.equal(3);
      expect(pool.stats()).to.include({ workers: 1, busy: 1, running: 3, queued: 2 });
      expect(futures.map((future) => future.running())).to.deep.equal([true, true, true, false, false]);
      gate.open();
      expect(await settled(Promise.all(futures))).to.deep.equal(range(5));
    });

    it('concurrentTasksPerWorker is 1 by default: an async task has its worker for itself', async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      const gate = bench.gate();
      const futures = range(3).map((i) => pool.submit(passGateAsync, gate.token, i));
      await gate.arrived(1);
      await turns();
      expect(gate.arrivals).to.equal(1);
      expect(pool.stats()).to.include({ running: 1, queued: 2 });
      gate.open();
      expect(await settled(Promise.all(futures))).to.deep.equal(range(3));
    });

    it('concurrentTasksPerWorker tells each of the interleaved tasks who it is', async () => {
      const pool = bench.pool({ maxWorkers: 1, concurrentTasksPerWorker: 4 });
      const all = await settled(Promise.all(range(20).map(() => pool.submit(whoAmI))));
      expect(new Set(all.map(({ id }) => id)).size).to.equal(20);
      expect(new Set(all.map(({ worker }) => worker)).size).to.equal(1);
    });

    describe('resize()', () => {
      it('resize() to more workers has waiting tasks begun', async () => {
        const { pool, gate, blocker } = await bench.blocked();
        const futures = [pool.submit(passGate, gate.token, 1), pool.submit(passGate, gate.token, 2)];
        await settled(pool.resize({ maxWorkers: 3 }));
        await gate.arrived(3);
        expect(pool.stats()).to.include({ workers: 3, busy: 3, queued: 0 });
        gate.open();
        expect(await settled(Promise.all([blocker, ...futures]))).to.deep.equal([0, 1, 2]);
      });

      it('resize() to fewer workers resolves when the superfluous ones have ended', async () => {
        const pool = bench.pool({ maxWorkers: 3 });
        const gate = bench.gate();
        const futures = range(3).map((i) => pool.submit(passGate, gate.token, i));
        await gate.arrived(3);
        const resized = pool.resize({ maxWorkers: 1 });
        gate.open();
        await settled(resized);
        expect(pool.stats().workers).to.equal(1);
        expect(await settled(Promise.all(futures))).to.deep.equal(range(3));
        expect(await settled(pool.submit(add, 1, 2))).to.equal(3);
      });

      it('resize() to fewer workers loses no task that was sent ahead', async () => {
        const pool = bench.pool({ maxWorkers: 3 });
        const futures = range(300).map((i) => pool.submit(add, i, 0));
        await settled(futures[10] as PromiseLike<number>);
        await settled(pool.resize({ maxWorkers: 1 }));
        expect(await settled(Promise.all(futures))).to.deep.equal(range(300));
      });

      it('resize() of minWorkers and minSpareWorkers starts workers', async () => {
        const pool = bench.pool({ maxWorkers: 3 });
        await settled(pool.resize({ minWorkers: 2 }));
        expect(pool.stats().workers).to.equal(2);
        await settled(pool.resize({ minSpareWorkers: 3 }));
        expect(pool.stats().workers).to.equal(3);
      });

      it('resize() refuses nonsense with a RangeError and changes nothing', async () => {
        const pool = bench.pool({ maxWorkers: 2, minWorkers: 1 });
        for (const size of [
          { maxWorkers: 0 },
          { maxWorkers: -1 },
          { maxWorkers: 1.5 },
          { maxWorkers: NaN },
          { minWorkers: -1 },
          { minWorkers: 3 },
          { minSpareWorkers: 0.5 },
        ]) {
          instance(await refusal(() => pool.resize(size)), RangeError);
        }
        instance(await refusal(() => pool.resize({ maxWorkers: '2' as unknown as number })), TypeError);
        expect(pool.stats().workers).to.equal(1);
        expect(await settled(pool.submit(add, 1, 2))).to.equal(3);
      });

      it('resize() may be called again and again while tasks run', async () => {
        const pool = bench.pool({ maxWorkers: 2 });
        const futures = range(400).map((i) => pool.submit(add, i, 0));
        for (const maxWorkers of [1, 3, 1, 2]) await settled(pool.resize({ maxWorkers }));
        expect(await settled(Promise.all(futures))).to.deep.equal(range(400));
      });
    });

    describe('stats()', () => {
      const sums = (pool: Pool) => {
        const { submitted, completed, failed, cancelled, queued, running } = pool.stats();
        return submitted - completed - failed - cancelled - queued - running;
      };

      it('stats() starts at zero', () => {
        const { waitTime, runTime, ...counters } = bench.pool().stats();
        expect(counters).to.deep.equal({
          workers: 0,
          idle: 0,
          busy: 0,
          queued: 0,
          running: 0,
          submitted: 0,
          completed: 0,
          failed: 0,
          cancelled: 0,
        });
        expect(waitTime).to.include({ count: 0, mean: 0 });
        expect(runTime).to.include({ count: 0, mean: 0 });
      });

      it('stats() adds up, at rest and under way', async () => {
        const { pool, gate, blocker } = await bench.blocked();
        const fine = range(4).map((i) => pool.submit(add, i, 1));
        const failing = pool.submit((): number => {
          throw new Error('fails');
        });
        const unclonable = pool.submit((x: unknown) => typeof x, Symbol('not cloned'));
        const dying = pool.submit((): never => process.exit(3));
        const cancelled = pool.submit(add, 1, 2);
        cancelled.cancel();
        expect(pool.stats()).to.include({ submitted: 9, running: 1, cancelled: 1, completed: 0 });
        expect(sums(pool)).to.equal(0);
        gate.open();
        await settled(Promise.all([blocker, ...fine]));
        expect(sums(pool)).to.equal(0);
        for (const future of [failing, unclonable, dying]) await rejectionOf(future);
        await settled(pool.join());
        expect(pool.stats()).to.include({
          submitted: 9,
          completed: 5,
          failed: 3,
          cancelled: 1,
          queued: 0,
          running: 0,
        });
      });

      it('stats() counts busy and idle workers', async () => {
        const pool = bench.pool({ maxWorkers: 2 });
        const gate = bench.gate();
        const futures = range(2).map(() => pool.submit(passGate, gate.token));
        await gate.arrived(2);
        expect(pool.stats()).to.include({ workers: 2, busy: 2, idle: 0 });
        gate.open();
        await settled(Promise.all(futures));
        await settled(pool.join());
        expect(pool.stats()).to.include({ workers: 2, busy: 0, idle: 2 });
      });

      it('stats() gives distributions of waiting and running times in ms', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const busyFor = (ms: number) => {
          const end = performance.now() + ms;
          while (performance.now() < end);
        };
        await settled(Promise.all([1, 2, 3, 20].map((ms) => pool.submit(busyFor, ms))));
        const { waitTime, runTime } = pool.stats();
        for (const { count: samples, min, max, mean, p50, p90, p99 } of [waitTime, runTime]) {
          expect(samples).to.equal(4);
          expect(min).to.be.at.least(0);
          expect(mean).to.be.within(min, max);
          const ascending = [min, p50, p90, p99, max];
          expect(ascending).to.deep.equal([...ascending].sort((a, b) => a - b));
        }
        expect(runTime.min).to.be.at.least(0.9);
        expect(runTime.max).to.be.at.least(19);
      });

      it('stats() is a snapshot', async () => {
        const pool = bench.pool();
        const before = pool.stats();
        await settled(pool.submit(add, 1, 2));
        expect(before.submitted).to.equal(0);
        expect(pool.stats().submitted).to.equal(1);
      });

      it('stats() counts nothing for a submit() that throws', async () => {
        const { pool } = await bench.blocked({ maxQueueSize: 1 });
        pool.submit(add, 1, 2);
        thrownBy(() => pool.submit(add, 1, 2), Error);
        thrownBy(() => pool.submit(undefined as unknown as () => void), TypeError);
        expect(pool.stats()).to.include({ submitted: 2, failed: 0, queued: 1 });
      });
    });
  });
}
