/* eslint-disable @typescript-eslint/no-implied-eval -- functions that are new each time */
import { expect } from 'chai';
import { asCompleted, CancelledError, type Future, wait } from 'concurrent-futures';
import { add } from '../fixtures/tasks.js';
import { passGate, touch } from '../support/gate.js';
import { type Capabilities, type MakeExecutor, useBench } from '../support/pool-under-test.js';
import { rejectionAs, rejectionOf, settled, turns } from '../support/watchdog.js';

const range = (length: number): number[] => Array.from({ length }, (_, i) => i);

/** That `cancel` is exact: true means never called. */
export function describeCancellation(name: string, makeExecutor: MakeExecutor, capabilities: Capabilities): void {
  describe(`${name}: cancel`, () => {
    const bench = useBench(makeExecutor, capabilities);

    it('cancel() is true for queued tasks, whose function is then never called', async () => {
      const { pool, gate, blocker } = await bench.blocked();
      const tally = bench.tally();
      const futures = range(5).map(() => pool.submit(touch, tally.token));
      expect(futures.map((future) => future.cancel())).to.deep.equal(Array(5).fill(true));
      expect(futures.map((future) => future.cancelled())).to.deep.equal(Array(5).fill(true));
      expect(futures.map((future) => future.running())).to.deep.equal(Array(5).fill(false));
      gate.open();
      expect(await settled(blocker)).to.equal(0);
      await settled(pool.join());
      expect(tally.total).to.equal(0);
      expect(pool.stats()).to.include({ submitted: 6, completed: 1, cancelled: 5, failed: 0, queued: 0, running: 0 });
    });

    it('cancel() is true for tasks that were sent ahead to a worker, whose function is then never called', async () => {
      const { pool, gate } = await bench.blocked();
      const tally = bench.tally();
      const futures = range(50).map(() => pool.submit(touch, tally.token));
      await turns(5);
      expect(futures.map((future) => future.cancel())).to.deep.equal(Array(50).fill(true));
      gate.open();
      await settled(pool.join());
      expect(await settled(pool.submit(add, 1, 2))).to.equal(3);
      expect(tally.total).to.equal(0);
    });

    it('cancel() is true for tasks of a worker that is still starting, whose function is then never called', async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      const tally = bench.tally();
      const futures = range(5).map(() => pool.submit(touch, tally.token));
      expect(futures.every((future) => future.cancel())).to.equal(true);
      await settled(pool.join());
      expect(await settled(pool.submit(add, 1, 2))).to.equal(3);
      expect(tally.total).to.equal(0);
    });

    it('cancel() of a task that its worker is about to begin has the one behind it begun', async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      for (let i = 0; i < 60; i++) {
        // The worker sleeps, so that it takes a while to begin. Both tasks are new to the pool, which sends ahead little
        // of what it does not know.
        await turns(1);
        const first = pool.submit(new Function(`return -${String(i)}`) as () => number);
        const second = pool.submit(new Function(`return ${String(i)}`) as () => number);
        for (let k = 0; k < 1 + (i % 3); k++) await Promise.resolve();
        first.cancel();
        expect(await settled(second)).to.equal(i);
      }
    });

    it('cancel() leaves the tasks around the cancelled one alone', async () => {
      const { pool, gate } = await bench.blocked();
      const tally = bench.tally(20);
      const futures = range(20).map((i) => pool.submit(touch, tally.token, i));
      await turns();
      for (let i = 0; i < 20; i += 2) expect(futures[i]?.cancel()).to.equal(true);
      gate.open();
      await settled(wait(futures));
      expect(range(20).map((i) => tally.at(i))).to.deep.equal(range(20).map((i) => i % 2));
    });

    it('cancel() is false once a worker has begun the task, which then ends with its result', async () => {
      const { gate, blocker } = await bench.blocked();
      expect([blocker.cancel(), blocker.cancelled(), blocker.running()]).to.deep.equal([false, false, true]);
      expect(blocker.cancel()).to.equal(false);
      gate.open();
      expect(await settled(blocker)).to.equal(0);
      expect([blocker.cancel(), blocker.cancelled(), blocker.running()]).to.deep.equal([false, false, false]);
    });

    it('cancel() is false for a task that another worker has begun, whatever this thread has heard of it', async () => {
      const pool = bench.pool({ maxWorkers: 2 });
      const gate = bench.gate();
      const futures = [pool.submit(passGate, gate.token, 1), pool.submit(passGate, gate.token, 2)];
      await gate.arrived(2);
      expect(futures.map((future) => future.cancel())).to.deep.equal([false, false]);
      gate.open();
      expect(await settled(Promise.all(futures))).to.deep.equal([1, 2]);
    });

    it('cancel() called again stays true', async () => {
      const { pool } = await bench.blocked();
      const future = pool.submit(add, 1, 2);
      expect([future.cancel(), future.cancel(), future.cancelled(), future.done()]).to.deep.equal([
        true,
        true,
        true,
        true,
      ]);
    });

    it('cancel() settles at once: callbacks run in the call, and wait() and asCompleted() count the future', async () => {
      const { pool } = await bench.blocked();
      const future = pool.submit(add, 1, 2);
      const seen: unknown[] = [];
      future.addDoneCallback((done) => seen.push(done === future, done.cancelled()));
      const waiting = wait([future]);
      const iterating = asCompleted([future]).next();
      future.cancel();
      expect(seen).to.deep.equal([true, true]);
      const { done } = await settled(waiting);
      expect([...done]).to.deep.equal([future]);
      const step = await settled(iterating);
      expect(step.value === future).to.equal(true);
      await rejectionAs(future, CancelledError);
      await rejectionAs(future.exception(), CancelledError);
      const outcome = future.outcome();
      expect(outcome?.status === 'rejected' && outcome.reason instanceof CancelledError).to.equal(true);
    });

    it('cancel() may be called from a done callback', async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      const tally = bench.tally();
      const gate = bench.gate();
      const first = pool.submit(passGate, gate.token);
      const futures = range(10).map(() => pool.submit(touch, tally.token));
      await gate.arrived();
      first.addDoneCallback(() => {
        for (const future of futures) future.cancel();
      });
      gate.open();
      await settled(pool.join());
      expect(tally.total).to.equal(futures.filter((future) => !future.cancelled()).length);
    });

    it('cancel() makes room in the queue', async () => {
      const { pool } = await bench.blocked({ maxQueueSize: 1 });
      const future = pool.submit(add, 1, 2);
      const ready = pool.ready();
      expect(future.cancel()).to.equal(true);
      await settled(ready);
      pool.submit(add, 3, 4);
    });

    it('cancel() of all that is pending lets join() resolve', async () => {
      const { pool, gate, blocker } = await bench.blocked();
      const futures = range(3).map((i) => pool.submit(add, i, 1));
      gate.open();
      await settled(blocker);
      for (const future of futures) future.cancel();
      await settled(pool.join());
    });

    it('cancel() racing with the workers is exact: a function was called if and only if its future is not cancelled', async function () {
      this.timeout(60_000);
      const size = 600;
      for (let round = 0; round < 8; round++) {
        const pool = bench.pool({ maxWorkers: 1 + (round % 3), concurrentTasksPerWorker: 1 + (round % 2) * 3 });
        const tally = bench.tally(size);
        const answers = new Map<Future<number>, boolean>();
        const futures: Future<number>[] = [];
        for (let i = 0; i < size; i++) {
          futures.push(pool.submit(touch, tally.token, i));
          // Cancelled early, late or never, and now and then after the workers had time to go ahead.
          if (i % 3 === 0) {
            const victim = futures[Math.floor(i / 2)];
            if (victim !== undefined) answers.set(victim, victim.cancel());
          }
          if (i % 50 === 49) await turns(1);
        }
        for (const future of futures.filter((_, i) => i % 5 === 0)) answers.set(future, future.cancel());
        await settled(pool.join());
        futures.forEach((future, i) => {
          expect(future.done()).to.equal(true);
          expect(tally.at(i), `round ${String(round)}, task ${String(i)}`).to.equal(future.cancelled() ? 0 : 1);
          const answer = answers.get(future);
          if (answer !== undefined) expect(answer).to.equal(future.cancelled());
        });
        const { submitted, completed, cancelled } = pool.stats();
        expect(submitted).to.equal(size);
        expect(completed).to.equal(futures.filter((future) => !future.cancelled()).length);
        expect(cancelled).to.equal(size - completed);
        await settled(pool.shutdown());
      }
    });

    it('a cancelled future has no result, whatever its task would have done', async () => {
      const { pool, gate } = await bench.blocked();
      const future = pool.submit(() => {
        process.exit(3);
      });
      future.cancel();
      gate.open();
      expect(await rejectionOf(future)).to.be.instanceOf(CancelledError);
      await settled(pool.join());
      expect(pool.stats()).to.include({ cancelled: 1, failed: 0 });
    });
  });
}
