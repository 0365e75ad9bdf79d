import { getEventListeners } from 'node:events';
import FakeTimers from '@sinonjs/fake-timers';
import { expect } from 'chai';
import { CancelledError, QueueFullError, TimeoutError, WorkerDiedError } from 'concurrent-futures';
import { add, dieThenWait, survive, untilAborted, whoAmI } from '../fixtures/tasks.js';
import { passGate, passGateAsync, touch } from '../support/gate.js';
import { type Capabilities, type MakeExecutor, type Pool, useBench } from '../support/pool-under-test.js';
import { eventually, rejectionAs, rejectionOf, settled, thrownBy, turns } from '../support/watchdog.js';

const range = (length: number): number[] => Array.from({ length }, (_, i) => i);

/** Notes the order in which one worker begins tasks. */
const note = (x: number): number => {
  ((globalThis as unknown as { order?: number[] }).order ??= []).push(x);
  return x;
};

const orderIn = (pool: Pool): PromiseLike<number[]> =>
  pool.submit(() => (globalThis as unknown as { order: number[] }).order);

const loopForEver = (): never => {
  for (;;);
};

/** The conditions that tasks run under: priorities, queue bounds, retries, time limits and signals. */
export function describeConditions(name: string, makeExecutor: MakeExecutor, capabilities: Capabilities): void {
  describe(`${name}: conditions`, () => {
    const bench = useBench(makeExecutor, capabilities);

    describe('with()', () => {
      it('with() takes no options, and gives submit() and map()', async () => {
        const bound = bench.pool().with({});
        expect(await settled(bound.submit(add, 1, 2))).to.equal(3);
        expect(await settled(bound.map(add, [1, 2], [3, 4]))).to.deep.equal([4, 6]);
      });

      it('with() refuses nonsense at the call', () => {
        const pool = bench.pool();
        const refuse = pool.with.bind(pool) as (options: unknown) => unknown;
        for (const options of [
          { timeout: -1 },
          { timeout: NaN },
          { retries: -1 },
          { retries: 1.5 },
          { priority: NaN },
        ]) {
          const error = thrownBy(() => refuse(options), RangeError);
          expect(error.message).to.include(Object.keys(options)[0]);
        }
        for (const options of [
          { timeout: '5' },
          { retries: '1' },
          { priority: 'high' },
          { signal: {} },
          { transfer: 5 },
          7,
        ]) {
          thrownBy(() => refuse(options), TypeError);
        }
      });
    });

    describe('priority', () => {
      it('priority: higher ones begin first, equal ones in the order of submission', async () => {
        const { pool, gate } = await bench.blocked();
        const priorities = [0, 5, -1, 5, 0, 10, -Infinity, 2.5];
        for (const [i, priority] of priorities.entries()) pool.with({ priority }).submit(note, i);
        gate.open();
        await settled(pool.join());
        expect(await settled(orderIn(pool))).to.deep.equal([5, 1, 3, 7, 0, 4, 2, 6]);
      });

      it('priority is 0 by default', async () => {
        const { pool, gate } = await bench.blocked();
        pool.with({ priority: -1 }).submit(note, 1);
        pool.submit(note, 2);
        pool.with({ priority: 1 }).submit(note, 3);
        pool.with({}).submit(note, 4);
        gate.open();
        await settled(pool.join());
        expect(await settled(orderIn(pool))).to.deep.equal([3, 2, 4, 1]);
      });

      it('priority overtakes what was sent ahead to a worker already', async () => {
        const { pool, gate } = await bench.blocked();
        for (const i of range(40)) pool.submit(note, i);
        await turns(5);
        pool.with({ priority: 1 }).submit(note, 100);
        gate.open();
        await settled(pool.join());
        expect(await settled(orderIn(pool))).to.deep.equal([100, ...range(40)]);
      });
    });

    describe('maxQueueSize', () => {
      it('submit() throws a QueueFullError when so many tasks wait; running ones do not count', async () => {
        const { pool, gate } = await bench.blocked({ maxQueueSize: 2 });
        const futures = [pool.submit(add, 1, 1), pool.submit(add, 2, 2)];
        const error = thrownBy(() => pool.submit(add, 3, 3), QueueFullError);
        expect(error.name).to.equal('QueueFullError');
        thrownBy(() => pool.with({ priority: 9 }).submit(add, 3, 3), QueueFullError);
        expect(pool.stats()).to.include({ submitted: 3, queued: 2, running: 1 });
        gate.open();
        expect(await settled(Promise.all(futures))).to.deep.equal([2, 4]);
        expect(await settled(pool.submit(add, 3, 3))).to.equal(6);
      });

      it('ready() resolves at once while there is room', async () => {
        await settled(bench.pool({ maxQueueSize: 1 }).ready());
        await settled(bench.pool().ready());
      });

      it('ready() resolves when there is room again', async () => {
        const { pool, gate } = await bench.blocked({ maxQueueSize: 1 });
        const queued = pool.submit(add, 1, 2);
        let there = false;
        const ready = pool.ready().then(() => {
          there = true;
        });
        await turns();
        expect(there).to.equal(false);
        gate.open();
        await settled(ready);
        expect(await settled(pool.submit(add, 3, 4))).to.equal(7);
        expect(await settled(queued)).to.equal(3);
      });

      it('ready() and submit() in turn never find the queue full', async () => {
        const pool = bench.pool({ maxWorkers: 2, maxQueueSize: 1 });
        const futures = [];
        for (let i = 0; i < 100; i++) {
          await settled(pool.ready());
          futures.push(pool.submit(add, i, 0));
        }
        expect(await settled(Promise.all(futures))).to.deep.equal(range(100));
      });

      it('ready() does not wait for a clock that fakes timers', async () => {
        const pool = bench.pool({ maxQueueSize: 1 });
        const clock = FakeTimers.install({ toFake: ['setTimeout', 'clearTimeout'] });
        try {
          // Each place granted is kept for a turn.
          for (let i = 0; i < 5; i++) await settled(pool.ready());
        } finally {
          clock.uninstall();
        }
      });

      it('ready() serves those who wait in the order of their calls', async () => {
        const { pool, gate } = await bench.blocked({ maxQueueSize: 1 });
        pool.submit(add, 0, 0);
        const order: number[] = [];
        const waits = range(3).map((i) =>
          pool.ready().then(() => {
            order.push(i);
            pool.submit(add, i, 0);
          }),
        );
        gate.open();
        await settled(Promise.all(waits));
        expect(order).to.deep.equal([0, 1, 2]);
      });

      it('maxQueueSize counts what was sent ahead and not begun', async () => {
        const { pool } = await bench.blocked({ maxQueueSize: 3 });
        pool.submit(add, 1, 1);
        await turns(5);
        pool.submit(add, 1, 1);
        pool.submit(add, 1, 1);
        await turns(5);
        thrownBy(() => pool.submit(add, 1, 1), QueueFullError);
        expect(pool.stats().queued).to.equal(3);
      });
    });

    describe('retries', () => {
      it('timeout: a task that ended in time has not timed out, although this thread was held up meanwhile', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        await settled(pool.submit(add, 1, 2));
        const busy = (ms: number) => {
          const end = performance.now() + ms;
          while (performance.now() < end);
          return 'in time';
        };
        const future = pool.with({ timeout: 1000 }).submit(busy, 50);
        await eventually(() => future.running(), 'the beginning');
        await turns();
        busy(1300);
        expect(await settled(future)).to.equal('in time');
      });

      it('retries: a task whose worker died is tried again, with the number of the attempt', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const tally = bench.tally();
        expect(await settled(pool.with({ retries: 2 }).submit(survive, 3, tally.token))).to.equal(3);
        expect(tally.total).to.equal(3);
        expect(pool.stats()).to.include({ submitted: 1, completed: 1, failed: 0 });
        expect((await settled(pool.submit(whoAmI))).attempt).to.equal(1);
      });

      it('retries that are used up end in the WorkerDiedError', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const tally = bench.tally();
        const future = pool.with({ retries: 2 }).submit(survive, 9, tally.token);
        expect(await rejectionAs(future, WorkerDiedError)).to.include({ exitCode: 7 });
        expect(tally.total).to.equal(3);
        expect(pool.stats()).to.include({ submitted: 1, completed: 0, failed: 1 });
      });

      it('retries are 0 by default', async () => {
        const tally = bench.tally();
        await rejectionAs(bench.pool().submit(survive, 2, tally.token), WorkerDiedError);
        expect(tally.total).to.equal(1);
      });

      it('retries are not for what a task throws', async () => {
        const pool = bench.pool();
        const tally = bench.tally();
        const fail = (marks: typeof tally.token) => {
          if (typeof marks === 'string') process.getBuiltinModule('node:fs').appendFileSync(`${marks}/touched`, '0\n');
          else Atomics.add(marks, 0, 1);
          throw new RangeError('thrown');
        };
        await rejectionAs(pool.with({ retries: 3 }).submit(fail, tally.token), RangeError);
        expect(tally.total).to.equal(1);
      });

      it('retries are not for timeouts', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const gate = bench.gate();
        await rejectionAs(pool.with({ retries: 3, timeout: 300 }).submit(passGate, gate.token), TimeoutError);
        expect(await settled(pool.submit(add, 1, 2))).to.equal(3);
        expect(gate.arrivals).to.equal(1);
      });

      it('retries keep the future running: cancel() is false in between', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const gate = bench.gate();
        const future = pool.with({ retries: 1 }).submit(dieThenWait, gate.token);
        await eventually(() => future.running(), 'the first attempt');
        const answers = new Set<unknown>();
        while (gate.arrivals === 0) {
          answers.add(future.cancel()).add(future.cancelled()).add(!future.running());
          await turns(1);
        }
        expect([...answers]).to.deep.equal([false]);
        gate.open();
        expect(await settled(future)).to.equal(2);
      });

      it('retries put the task at the head of the queue', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const tally = bench.tally();
        const order: string[] = [];
        const tried = pool.with({ retries: 1 }).submit(survive, 2, tally.token);
        tried.addDoneCallback(() => order.push('tried again'));
        for (const i of range(5)) pool.submit(add, i, 0).addDoneCallback(() => order.push(String(i)));
        await settled(pool.join());
        expect(order).to.deep.equal(['tried again', '0', '1', '2', '3', '4']);
      });

      it('retries end with terminateWorkers()', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const gate = bench.gate();
        const future = pool.with({ retries: 100 }).submit(dieThenWait, gate.token);
        await gate.arrived();
        await settled(pool.terminateWorkers());
        expect(await rejectionOf(future)).to.be.instanceOf(Error);
      });
    });

    describe('timeout', () => {
      it('timeout stops a task that blocks its thread, and the worker is replaced', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const future = pool.with({ timeout: 50 }).submit(loopForEver);
        const behind = pool.submit(add, 1, 2);
        const error = await rejectionAs(future, TimeoutError);
        expect(error.message).to.include('50');
        expect(await settled(behind)).to.equal(3);
        expect(pool.stats()).to.include({ submitted: 2, completed: 1, failed: 1 });
      });

      it('timeout stops a task that waits', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const future = pool.with({ timeout: 50 }).submit(() => new Promise<void>(() => undefined));
        await rejectionAs(future, TimeoutError);
        expect(await settled(pool.submit(add, 1, 2))).to.equal(3);
      });

      it('timeout counts running time only, not the wait in the queue', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        await settled(pool.submit(add, 1, 1));
        // The first holds the worker for longer than the second has.
        const first = pool.with({ timeout: 900 }).submit(loopForEver);
        const second = pool.with({ timeout: 700 }).submit(add, 1, 2);
        await rejectionAs(first, TimeoutError);
        expect(await settled(second)).to.equal(3);
      });

      it('timeout that is not reached changes nothing', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const bound = pool.with({ timeout: 60_000 });
        expect(await settled(Promise.all(range(20).map((i) => bound.submit(add, i, 0))))).to.deep.equal(range(20));
        expect(await settled(pool.with({ timeout: Infinity }).submit(add, 1, 2))).to.equal(3);
        expect(await settled(pool.with({ timeout: 2 ** 40 }).submit(add, 1, 2))).to.equal(3);
        expect(pool.stats().workers).to.equal(1);
      });

      it('timeout of one interleaved task leaves the others their end', async () => {
        const pool = bench.pool({ maxWorkers: 1, concurrentTasksPerWorker: 3 });
        const gate = bench.gate();
        const neighbour = pool.submit(passGateAsync, gate.token, 5);
        await gate.arrived();
        const future = pool.with({ timeout: 30 }).submit(() => new Promise<void>(() => undefined));
        await rejectionAs(future, TimeoutError);
        const next = pool.submit(add, 1, 2);
        gate.open();
        expect(await settled(neighbour)).to.equal(5);
        expect(await settled(next)).to.equal(3);
      });

      it('timeout of an interleaved task that blocks the thread ends its neighbours too', async () => {
        const pool = bench.pool({ maxWorkers: 1, concurrentTasksPerWorker: 2 });
        const gate = bench.gate();
        const neighbour = pool.submit(passGateAsync, gate.token, 5);
        await gate.arrived();
        const future = pool.with({ timeout: 50 }).submit(loopForEver);
        await rejectionAs(future, TimeoutError);
        await rejectionAs(neighbour, WorkerDiedError);
        expect(await settled(pool.submit(add, 1, 2))).to.equal(3);
      });

      it('timeouts of many tasks in a row do not break the pool', async function () {
        this.timeout(40_000);
        const pool = bench.pool({ maxWorkers: 1 });
        const futures = range(12).map(() => pool.with({ timeout: 10 }).submit(loopForEver));
        for (const future of futures) await rejectionAs(future, TimeoutError);
        expect(await settled(pool.submit(add, 1, 2))).to.equal(3);
      });
    });

    describe('signal', () => {
      it('signal aborted before submit() gives a cancelled future', async () => {
        const pool = bench.pool();
        const tally = bench.tally();
        const future = pool.with({ signal: AbortSignal.abort(new Error('too late')) }).submit(touch, tally.token);
        expect([future.cancelled(), future.done()]).to.deep.equal([true, true]);
        await rejectionAs(future, CancelledError);
        expect(tally.total).to.equal(0);
        expect(pool.stats()).to.include({ submitted: 1, cancelled: 1, queued: 0 });
      });

      it('signal aborted cancels a pending task at once', async () => {
        const { pool, gate } = await bench.blocked();
        const controller = new AbortController();
        const tally = bench.tally();
        const futures = range(3).map(() => pool.with({ signal: controller.signal }).submit(touch, tally.token));
        const other = pool.submit(add, 1, 2);
        await turns();
        controller.abort();
        expect(futures.map((future) => future.cancelled())).to.deep.equal([true, true, true]);
        gate.open();
        expect(await settled(other)).to.equal(3);
        expect(tally.total).to.equal(0);
      });

      it('signal aborted stops a running task by ending its worker; its future rejects with the reason', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const controller = new AbortController();
        const gate = bench.gate();
        const future = pool.with({ signal: controller.signal }).submit(passGate, gate.token);
        const behind = pool.submit(add, 1, 2);
        await gate.arrived();
        const reason = new RangeError('stop it');
        controller.abort(reason);
        expect(await rejectionOf(future)).to.equal(reason);
        expect([future.cancelled(), future.done()]).to.deep.equal([false, true]);
        expect(await settled(behind)).to.equal(3);
        expect(pool.stats()).to.include({ submitted: 2, completed: 1, failed: 1 });
      });

      it('signal aborted without a reason rejects with an AbortError', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const controller = new AbortController();
        const gate = bench.gate();
        const future = pool.with({ signal: controller.signal }).submit(passGateAsync, gate.token);
        await gate.arrived();
        controller.abort();
        expect(await rejectionOf(future)).to.equal(controller.signal.reason);
        expect(controller.signal.reason).to.include({ name: 'AbortError' });
      });

      it('signal aborted with a falsy reason rejects with that', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        for (const reason of [0, '', null, false]) {
          const controller = new AbortController();
          const gate = bench.gate();
          const future = pool.with({ signal: controller.signal }).submit(passGateAsync, gate.token);
          await gate.arrived();
          controller.abort(reason);
          expect(await rejectionOf(future)).to.equal(reason);
        }
      });

      it('signal aborted is heard by the task through currentTask().signal', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const controller = new AbortController();
        const gate = bench.gate();
        const tally = bench.tally();
        const future = pool.with({ signal: controller.signal }).submit(untilAborted, gate.token, tally.token);
        await gate.arrived();
        const reason = new Error('stop it');
        controller.abort(reason);
        expect(await rejectionOf(future)).to.equal(reason);
      });

      it('signal aborted after the end changes nothing, and nothing listens to it any more', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const controller = new AbortController();
        const { signal } = controller;
        const futures = range(30).map((i) => pool.with({ signal }).submit(add, i, 0));
        expect(await settled(Promise.all(futures))).to.deep.equal(range(30));
        expect(getEventListeners(signal, 'abort')).to.deep.equal([]);
        controller.abort();
        expect(await settled(futures[0] as PromiseLike<number>)).to.equal(0);
        expect(await settled(pool.submit(add, 1, 2))).to.equal(3);
      });

      it('signal of many tasks at once warns of no leak', async () => {
        const warnings: Error[] = [];
        const listen = (warning: Error) => warnings.push(warning);
        process.on('warning', listen);
        try {
          const { pool, gate } = await bench.blocked();
          const controller = new AbortController();
          const futures = range(50).map((i) => pool.with({ signal: controller.signal }).submit(add, i, 0));
          await turns();
          controller.abort();
          gate.open();
          await settled(pool.join());
          expect(futures.every((future) => future.cancelled())).to.equal(true);
        } finally {
          process.off('warning', listen);
        }
        expect(warnings.filter((warning) => warning.name === 'MaxListenersExceededWarning')).to.deep.equal([]);
      });

      it('signal aborted for one interleaved task leaves the others their end, in a worker that takes no new ones', async () => {
        const pool = bench.pool({ maxWorkers: 2, concurrentTasksPerWorker: 2, threadNamePrefix: 'interleaving' });
        const controller = new AbortController();
        const gate = bench.gate();
        const stuck = bench.gate();
        const neighbour = pool.submit(passGateAsync, gate.token, 5);
        await gate.arrived();
        const future = pool.with({ signal: controller.signal }).submit(passGateAsync, stuck.token);
        await stuck.arrived();
        const reason = new Error('stop it');
        controller.abort(reason);
        expect(await rejectionOf(future)).to.equal(reason);
        expect(neighbour.done()).to.equal(false);
        expect(await settled(pool.submit(add, 1, 2))).to.equal(3);
        gate.open();
        expect(await settled(neighbour)).to.equal(5);
      });

      it('signal aborted in a row of ten and more tasks does not break the pool', async function () {
        this.timeout(40_000);
        const pool = bench.pool({ maxWorkers: 1 });
        for (let i = 0; i < 12; i++) {
          const controller = new AbortController();
          const gate = bench.gate();
          const future = pool.with({ signal: controller.signal }).submit(passGate, gate.token);
          await gate.arrived();
          controller.abort('enough');
          expect(await rejectionOf(future)).to.equal('enough');
        }
        expect(await settled(pool.submit(add, 1, 2))).to.equal(3);
      });

      it('signal aborted during a map() under it stops the running tasks too', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const controller = new AbortController();
        const gate = bench.gate();
        const results = pool.with({ signal: controller.signal }).map(passGate, [gate.token, gate.token]);
        const first = results.next();
        await gate.arrived();
        controller.abort('stop');
        expect(await rejectionOf(first)).to.equal('stop');
        expect(await settled(pool.submit(add, 1, 2))).to.equal(3);
        await settled(pool.join());
        expect(gate.arrivals).to.equal(1);
      });
    });
  });
}
