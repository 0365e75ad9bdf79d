import { expect } from 'chai';
import fc from 'fast-check';
import type { Sizes } from '../../dist/pool/scheduler.js';
import { FakeCallable, type PoolEvent, SchedulerModel, type Setup } from '../support/scheduler-model.js';

const unknown = () => new FakeCallable(5, false);
const lasting = (ms: number) => new FakeCallable(ms, true);

/** A pool whose tasks all call one function. */
function poolOf(callable: FakeCallable, maxWorkers: number, setup: Partial<Setup> = {}): SchedulerModel {
  const sizes = { maxWorkers, minWorkers: 0, minSpareWorkers: 0 };
  return new SchedulerModel({ capacity: 1, maxTasks: Infinity, sharedMemory: true, sizes, races: [], ...setup }, [
    callable,
  ]);
}

function submit(
  pool: SchedulerModel,
  count: number,
  options: Partial<Extract<PoolEvent, { kind: 'submit' }>> = {},
): void {
  pool.apply({ kind: 'submit', count, priority: 0, callable: 0, moves: false, unsendable: false, ...options });
}

/** One worker that has started, with nothing to do. */
function warmPool(callable: FakeCallable, maxWorkers: number, setup: Partial<Setup> = {}): SchedulerModel {
  const pool = poolOf(callable, maxWorkers, { ...setup, sizes: { maxWorkers, minWorkers: 1, minSpareWorkers: 0 } });
  pool.started(pool.lanes[0]!);
  return pool;
}

const sizesOf: fc.Arbitrary<Sizes> = fc
  .record({ maxWorkers: fc.integer({ min: 1, max: 5 }), minWorkers: fc.nat(5), minSpareWorkers: fc.nat(3) })
  .map((sizes) => ({ ...sizes, minWorkers: Math.min(sizes.minWorkers, sizes.maxWorkers) }));

const lane = fc.nat(6);
const events: fc.Arbitrary<PoolEvent[]> = fc.array(
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant('submit' as const),
        count: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 1500 })),
        priority: fc.oneof(fc.constant(0), fc.integer({ min: -1, max: 2 }), fc.constantFrom(Infinity, -Infinity)),
        callable: fc.nat(7),
        moves: fc.nat(5).map((n) => n === 0),
        unsendable: fc.nat(20).map((n) => n === 0),
      }),
    },
    { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom('started' as const, 'begin' as const), lane }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('end' as const), lane, at: fc.nat(4) }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('hear' as const), lane }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('die' as const), lane }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('cancel' as const), task: fc.nat() }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('resize' as const), sizes: sizesOf }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('check' as const, 'recall' as const) }) },
  ),
  { maxLength: 60 },
);

const setups: fc.Arbitrary<Setup> = fc.record({
  capacity: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 4 })),
  maxTasks: fc.oneof(fc.constant(Infinity), fc.integer({ min: 1, max: 5 })),
  sharedMemory: fc.nat(4).map((n) => n > 0),
  sizes: sizesOf,
  races: fc.array(fc.nat(4), { maxLength: 300 }),
});

const callables = () => [
  unknown(),
  new FakeCallable(0.001, false),
  ...[0.0001, 0.001, 0.1, 0.4, 5, 100].map((ms) => lasting(ms)),
];

describe('Scheduler', () => {
  it('Scheduler keeps its rules in any sequence of events, and every task ends', () => {
    fc.assert(
      fc.property(setups, events, fc.array(fc.boolean(), { maxLength: 60 }), (setup, sequence, settles) => {
        const pool = new SchedulerModel(setup, callables());
        for (const [i, event] of sequence.entries()) {
          pool.apply(event);
          if (settles[i] === true) pool.settle();
        }
        pool.drain();
      }),
      { numRuns: 2000 },
    );
  });

  describe('growth', () => {
    it('pump starts a worker for each task of a callable that it knows nothing of, up to maxWorkers', () => {
      const few = poolOf(unknown(), 8);
      submit(few, 3);
      expect(few.scheduler.live).to.equal(3);
      const many = poolOf(unknown(), 8);
      submit(many, 100);
      expect(many.scheduler.live).to.equal(8);
    });

    it('pump gives a worker that starts as many tasks as it interleaves', () => {
      const pool = poolOf(unknown(), 8, { capacity: 4 });
      submit(pool, 8);
      expect(pool.lanes.map(({ ahead }) => ahead.size)).to.deep.equal([4, 4]);
    });

    it('pump starts the first worker however short the task', () => {
      const pool = poolOf(lasting(0.001), 8);
      submit(pool, 1);
      expect(pool.scheduler.live).to.equal(1);
    });

    it('pump starts no further worker for a thousand tasks of a microsecond', () => {
      const pool = warmPool(lasting(0.001), 8);
      submit(pool, 1000);
      expect(pool.scheduler.live).to.equal(1);
    });

    it('pump starts a further worker at once when tasks of 100 ms wait', () => {
      const pool = warmPool(lasting(100), 8);
      submit(pool, 1);
      expect(pool.scheduler.live, 'with one task on a free worker').to.equal(1);
      submit(pool, 1);
      expect(pool.scheduler.live, 'with a second one').to.equal(2);
    });

    it('pump starts as many workers as 20 ms of waiting work for each justify', () => {
      const pool = warmPool(lasting(5), 8);
      submit(pool, 1);
      submit(pool, 4);
      // 4 x 5 ms wait for one worker: worth a second one. Then 3 x 5 ms wait for two.
      expect(pool.scheduler.live).to.equal(2);
    });

    it('pump starts none when none may be started', () => {
      const pool = poolOf(unknown(), 2);
      submit(pool, 2);
      submit(pool, 100);
      expect(pool.scheduler.live).to.equal(2);
    });

    it('pump keeps minWorkers from the start, and minSpareWorkers beyond the busy ones', () => {
      const pool = poolOf(lasting(1000), 5, { sizes: { maxWorkers: 5, minWorkers: 2, minSpareWorkers: 2 } });
      expect(pool.scheduler.live).to.equal(2);
      for (const lane of pool.lanes) pool.started(lane);
      submit(pool, 1);
      expect(pool.scheduler.live, 'one busy').to.equal(3);
      submit(pool, 1);
      expect(pool.scheduler.live, 'two busy').to.equal(4);
      submit(pool, 3);
      expect(pool.scheduler.live, 'no more than maxWorkers').to.equal(5);
    });
  });

  describe('checkProgress', () => {
    it('checkProgress starts a worker when nothing has begun between two calls', () => {
      const pool = warmPool(lasting(0.001), 3);
      submit(pool, 2);
      pool.settle();
      expect(pool.scheduler.wantsWorker).to.equal(true);
      pool.scheduler.checkProgress();
      expect(pool.scheduler.live, 'after the first call').to.equal(1);
      pool.scheduler.checkProgress();
      expect(pool.scheduler.live, 'after the second').to.equal(2);
      pool.scheduler.checkProgress();
      expect(pool.scheduler.live, 'while one starts').to.equal(2);
    });

    it('checkProgress starts none while tasks begin', () => {
      const pool = warmPool(lasting(0.001), 3);
      submit(pool, 500);
      for (let i = 0; i < 50; i++) {
        pool.lanes[0]!.begin();
        pool.scheduler.checkProgress();
        pool.lanes[0]!.end(0);
      }
      expect(pool.scheduler.live).to.equal(1);
    });

    it('checkProgress has free workers take over what a worker with free slots has not begun: its thread is blocked', () => {
      const sizes = { maxWorkers: 2, minWorkers: 2, minSpareWorkers: 0 };
      const pool = poolOf(lasting(2), 2, { capacity: 4, sizes });
      for (const lane of pool.lanes) pool.started(lane);
      submit(pool, 1);
      const [blocked, other] = pool.lanes;
      blocked!.begin();
      submit(pool, 8);
      while (other!.canBegin) other!.begin();
      const waiting = blocked!.ahead.size;
      expect(waiting).to.be.above(0);
      expect(pool.scheduler.wantsCheck).to.equal(true);
      for (let i = 0; i < 20; i++) {
        pool.scheduler.checkProgress();
        while (other!.canBegin) other!.begin();
        while (other!.begun.size > 0) other!.end(0);
        pool.hear(other!);
      }
      expect(blocked!.ahead.size).to.equal(0);
      expect(pool.tasks.filter(({ ended }) => ended === undefined).length, 'but the one that blocks').to.equal(1);
    });

    for (const capacity of [1, 4]) {
      it(`checkProgress has free workers take over what a worker with ${String(capacity)} slots does not begin at all`, () => {
        const sizes = { maxWorkers: 2, minWorkers: 2, minSpareWorkers: 0 };
        const pool = poolOf(lasting(2), 2, { capacity, sizes });
        for (const lane of pool.lanes) pool.started(lane);
        submit(pool, 2 * capacity);
        const [blocked, other] = pool.lanes;
        expect(blocked!.ahead.size).to.equal(capacity);
        for (let i = 0; i < 20; i++) {
          while (other!.canBegin) other!.begin();
          while (other!.begun.size > 0) other!.end(0);
          pool.hear(other!);
          if (blocked!.ahead.size > 0) expect(pool.scheduler.wantsCheck).to.equal(true);
          pool.scheduler.checkProgress();
        }
        expect(pool.tasks.filter(({ ended }) => ended === undefined)).to.have.length(0);
      });
    }

    it('checkProgress starts none when no task waits, and none beyond maxWorkers', () => {
      const idle = warmPool(lasting(0.001), 3);
      submit(idle, 1);
      idle.settle();
      const full = warmPool(lasting(0.001), 1);
      submit(full, 5);
      full.settle();
      for (const pool of [idle, full]) {
        expect(pool.scheduler.wantsWorker).to.equal(false);
        for (let i = 0; i < 3; i++) pool.scheduler.checkProgress();
        expect(pool.scheduler.live).to.equal(1);
      }
    });
  });

  describe('tasks sent ahead', () => {
    it('pump sends a millisecond of short tasks ahead of the one that runs, and the rest when half is used up', () => {
      const pool = warmPool(lasting(0.1), 1);
      submit(pool, 1);
      pool.settle();
      submit(pool, 50);
      const [lane] = pool.lanes;
      expect(lane!.ahead.size).to.equal(10);
      for (let i = 0; i < 5; i++) {
        lane!.end(0);
        lane!.begin();
      }
      pool.hear(lane!);
      expect(lane!.ahead.size).to.equal(5);
      lane!.end(0);
      lane!.begin();
      pool.hear(lane!);
      expect(lane!.ahead.size).to.be.within(9, 10);
    });

    it('pump sends an eighth of what waits to each worker, when that is more than a millisecond and at most eight', () => {
      for (const [waiting, ahead] of [
        [50, 10],
        [241, 30],
        [401, 50],
        [5000, 80],
      ] as const) {
        const pool = warmPool(lasting(0.1), 1);
        submit(pool, 1);
        pool.settle();
        submit(pool, waiting);
        expect(pool.lanes[0]!.ahead.size, `of ${String(waiting)} tasks`).to.be.within(ahead - 1, ahead);
      }
    });

    it('pump sends up to four milliseconds ahead to a worker that has run dry, and less again to one that does not', () => {
      const pool = warmPool(lasting(0.1), 1);
      submit(pool, 1);
      pool.settle();
      submit(pool, 50);
      const [lane] = pool.lanes;
      // So few that an eighth of them is less than a millisecond.
      const refill = (): void => {
        submit(pool, 70 - pool.scheduler.queue.length);
      };
      const ahead = (): number => {
        pool.hear(lane!);
        return lane!.ahead.size;
      };
      const end = (count: number): void => {
        for (let i = 0; i < count; i++) {
          lane!.end(0);
          lane!.begin();
        }
      };
      for (const most of [20, 40, 40]) {
        refill();
        end(lane!.ahead.size + 1);
        expect(lane!.begun.size, 'it has nothing to do').to.equal(0);
        expect(ahead()).to.be.within(most - 2, most);
        lane!.begin();
      }
      for (let i = 0; i < 300; i++) {
        refill();
        end(1);
        ahead();
      }
      expect(lane!.ahead.size).to.be.within(5, 10);
    });

    it('pump sends one task ahead of a worker that has run dry when it lasts a millisecond', () => {
      const pool = warmPool(lasting(1), 1);
      submit(pool, 1);
      pool.settle();
      submit(pool, 100);
      const [lane] = pool.lanes;
      for (let i = 0; i < 5; i++) {
        lane!.end(0);
        lane!.begin();
        lane!.end(0);
        pool.hear(lane!);
        lane!.begin();
        pool.scheduler.pump();
        expect(lane!.ahead.size).to.equal(1);
      }
    });

    it('pump sends one task ahead when it lasts a millisecond or nobody knows', () => {
      for (const callable of [unknown(), lasting(1), lasting(100)]) {
        const pool = warmPool(callable, 1);
        submit(pool, 1);
        pool.settle();
        submit(pool, 100);
        expect(pool.lanes[0]!.ahead.size).to.equal(1);
      }
    });

    it('pump sends nothing ahead to a worker that starts', () => {
      const pool = poolOf(lasting(0.001), 1);
      submit(pool, 100);
      expect(pool.lanes[0]!.ahead.size).to.equal(1);
    });

    it('pump sends nothing ahead of what can be sent only once', () => {
      const pool = warmPool(lasting(0.001), 1);
      submit(pool, 1);
      pool.settle();
      submit(pool, 1, { moves: true });
      submit(pool, 1);
      expect(pool.lanes[0]!.ahead.size).to.equal(0);
      expect(pool.scheduler.queue.length).to.equal(2);
    });

    it('pump shares short tasks between the ready workers', () => {
      const pool = poolOf(lasting(0.001), 2, { sizes: { maxWorkers: 2, minWorkers: 2, minSpareWorkers: 0 } });
      for (const lane of pool.lanes) pool.started(lane);
      submit(pool, 2);
      pool.settle();
      submit(pool, 100);
      expect(pool.lanes.map(({ ahead }) => ahead.size)).to.deep.equal([50, 50]);
    });

    it('a task of higher priority begins before what was sent ahead and not begun', () => {
      const pool = warmPool(lasting(0.001), 1);
      submit(pool, 1);
      pool.settle();
      submit(pool, 50);
      submit(pool, 1, { priority: 1 });
      const [lane] = pool.lanes;
      lane!.end(0);
      lane!.begin();
      expect([...lane!.begun].map(({ order }) => order)).to.deep.equal([51]);
    });

    it('a worker that is free takes over what waits behind another', () => {
      const pool = poolOf(lasting(0.001), 2, { sizes: { maxWorkers: 2, minWorkers: 2, minSpareWorkers: 0 } });
      for (const lane of pool.lanes) pool.started(lane);
      submit(pool, 2);
      pool.settle();
      submit(pool, 20);
      const [stuck, other] = pool.lanes;
      for (let i = 0; i < 21; i++) {
        other!.end(0);
        pool.hear(other!);
        other!.begin();
      }
      expect(stuck!.ahead.size, 'what waits behind the stuck one').to.equal(0);
      expect(pool.tasks.filter(({ ended }) => ended === undefined).length).to.be.at.most(2);
    });

    /** Two workers, of which the first one runs a task of 100 ms and the second one a task of a microsecond. */
    const besideLong = () => {
      const pool = poolOf(lasting(100), 2, { sizes: { maxWorkers: 2, minWorkers: 2, minSpareWorkers: 0 } });
      pool.callables.push(lasting(0.001), lasting(30));
      for (const lane of pool.lanes) pool.started(lane);
      submit(pool, 1);
      submit(pool, 1, { callable: 1 });
      pool.settle();
      return pool;
    };

    it('pump sends short tasks to the worker that gets on, not to one that is busy for long', () => {
      const pool = besideLong();
      submit(pool, 100, { callable: 1 });
      expect(pool.lanes.map(({ ahead }) => ahead.size)).to.deep.equal([0, 100]);
    });

    it('pump sends what is left to the worker that is busy for long: it must not run dry while tasks wait', () => {
      const pool = besideLong();
      submit(pool, 3000, { callable: 1 });
      const [long, short] = pool.lanes.map(({ ahead }) => [...ahead].map(({ order }) => order));
      expect(short!.length).to.be.within(999, 1000);
      expect(long!.length).to.be.within(999, 1000);
      expect(Math.max(...short!), 'the older ones are where they begin first').to.be.below(Math.min(...long!));
    });

    it('pump sends short tasks to the worker that is free soonest when all are busy for long, and leaves them there', () => {
      const pool = besideLong();
      const [long, shorter] = pool.lanes;
      shorter!.end(0);
      pool.hear(shorter!);
      submit(pool, 1, { callable: 2 });
      pool.settle();
      for (let i = 1; i <= 10; i++) {
        submit(pool, 1, { callable: 1 });
        expect([long!.ahead.size, shorter!.ahead.size]).to.deep.equal([0, i]);
      }
      expect(new Set(pool.sends).size, 'none was sent twice').to.equal(pool.sends.length);
    });

    it('a worker that is free takes over all that waits behind a long task, and half of what waits behind a short one', () => {
      for (const [callable, left] of [
        [0, 0],
        [1, 5],
      ] as const) {
        const pool = besideLong();
        const [victim, thief] = pool.lanes;
        if (callable === 1) {
          victim!.end(0);
          pool.hear(victim!);
          submit(pool, 1, { callable });
          pool.settle();
        }
        submit(pool, 10, { callable: 1 });
        // All of them wait behind the first one, however that came.
        pool.scheduler.recallAll();
        const waiting = [...pool.scheduler.queue];
        for (const task of waiting) pool.scheduler.queue.remove(task);
        victim!.receive(waiting);
        thief!.end(0);
        pool.hear(thief!);
        expect([victim!.ahead.size, thief!.ahead.size]).to.deep.equal([left, 10 - left]);
      }
    });

    it('a worker that is about to begin its task keeps it, however little it has done of late', () => {
      const pool = poolOf(unknown(), 2);
      pool.callables.push(new FakeCallable(0.001, false));
      submit(pool, 5, { callable: 1 });
      submit(pool, 1, { priority: 1 });
      const [a, b] = pool.lanes;
      for (const lane of [a!, b!]) pool.started(lane);
      pool.settle();
      for (const lane of [a!, b!]) {
        lane.end(0);
        pool.hear(lane);
      }
      // Neither has begun what it was given since.
      pool.settle();
      expect(pool.lanes.map(({ begun }) => begun.size)).to.deep.equal([1, 1]);
    });

    it('a worker that is free helps a second one when the first one has to keep what it has', () => {
      const pool = poolOf(unknown(), 3);
      submit(pool, 1);
      submit(pool, 1, { moves: true });
      submit(pool, 1);
      const [ready] = pool.lanes;
      pool.started(ready!);
      pool.settle();
      ready!.end(0);
      pool.hear(ready!);
      // The two others have not started; what was moved to one of them has to stay there.
      pool.settle();
      expect(pool.tasks.map(({ lane }) => pool.lanes.indexOf(lane!))).to.deep.equal([0, 1, 0]);
    });

    it('a worker that is free fills each of its slots with what waits for a start', () => {
      const pool = poolOf(unknown(), 2, { capacity: 4 });
      submit(pool, 8);
      const [ready] = pool.lanes;
      pool.started(ready!);
      pool.settle();
      for (let i = 0; i < 3; i++) ready!.end(0);
      pool.hear(ready!);
      pool.settle();
      expect(pool.lanes.map(({ begun, ahead }) => [begun.size, ahead.size])).to.deep.equal([
        [4, 0],
        [0, 1],
      ]);
    });

    it('a worker that is free fills its other slots, too, when an older task is put back for the first one', () => {
      const pool = warmPool(lasting(0.0001), 2, { capacity: 2 });
      submit(pool, 7);
      pool.settle();
      // It may not be sent ahead; the others wait behind those that the first worker runs.
      pool.scheduler.sizes.minWorkers = 2;
      submit(pool, 1, { moves: true });
      const [, free] = pool.lanes;
      pool.started(free!);
      expect(free!.ahead.size, 'one older task and the one that waited').to.equal(2);
      expect(pool.scheduler.queue.length).to.equal(0);
    });

    it('what is put back because it is older counts by its own length', () => {
      const [slow, short] = [lasting(100), lasting(0.001)];
      const pool = poolOf(slow, 2, { sizes: { maxWorkers: 2, minWorkers: 2, minSpareWorkers: 0 } });
      pool.callables.push(short);
      for (const lane of pool.lanes) pool.started(lane);
      submit(pool, 2);
      pool.settle();
      submit(pool, 2);
      expect(
        pool.lanes.map(({ ahead }) => ahead.size),
        'one each',
      ).to.deep.equal([1, 1]);
      // The model checks that no two of them come to wait in one lane.
      for (let i = 0; i < 5; i++) submit(pool, 1, { callable: 1 });
      pool.drain();
    });

    it('recallAll takes back whatever has not begun, of whatever priority', () => {
      const pool = warmPool(lasting(0.001), 1);
      submit(pool, 1);
      pool.settle();
      for (const priority of [Infinity, 1, 0, -Infinity]) submit(pool, 2, { priority });
      pool.scheduler.recallAll();
      expect(pool.lanes[0]!.ahead.size).to.equal(0);
      expect(pool.scheduler.queue.length).to.equal(8);
    });
  });

  it('pump does not fail when no worker can be started', () => {
    const pool = poolOf(unknown(), 4, { sizes: { maxWorkers: 4, minWorkers: 0, minSpareWorkers: 0 } });
    pool.startable = false;
    submit(pool, 10);
    pool.scheduler.checkProgress();
    pool.scheduler.checkProgress();
    expect(pool.scheduler.live).to.equal(0);
    expect(pool.scheduler.queue.length).to.equal(10);
    pool.startable = true;
    pool.drain();
  });
});
