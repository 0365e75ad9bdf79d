import { expect } from 'chai';
import { currentTask } from 'concurrent-futures/worker';
import { survive, untilAborted, whoAmI } from '../fixtures/tasks.js';
import { whoAmILater } from '../fixtures/values.js';
import { type Capabilities, type MakeExecutor, useBench } from '../support/pool-under-test.js';
import { eventually, rejectionOf, settled, thrownBy } from '../support/watchdog.js';

/** What a task learns about itself. */
export function describeCurrentTask(name: string, makeExecutor: MakeExecutor, capabilities: Capabilities): void {
  describe(`${name}: currentTask`, () => {
    const bench = useBench(makeExecutor, capabilities);

    it('currentTask() gives each task an id of its own, its worker, attempt 1 and a signal', async () => {
      const pool = bench.pool({ maxWorkers: 2, threadNamePrefix: 'named' });
      const told = await settled(Promise.all(Array.from({ length: 100 }, () => pool.submit(whoAmI))));
      expect(new Set(told.map(({ id }) => id)).size).to.equal(100);
      for (const { worker, attempt, aborted } of told) {
        expect(worker).to.match(/^named_\d+$/);
        expect(attempt).to.equal(1);
        expect(aborted).to.equal(false);
      }
    });

    it('currentTask() throws after the first await, and belongs to the right one of tasks that interleave', async () => {
      const pool = bench.pool({ maxWorkers: 1, concurrentTasksPerWorker: 10 });
      const gate = bench.gate();
      const futures = Array.from({ length: 10 }, () => pool.submit(whoAmILater, gate.token));
      await gate.arrived(10);
      gate.open();
      const told = await settled(Promise.all(futures));
      expect(new Set(told.map(({ id }) => id)).size).to.equal(10);
      for (const { after } of told) expect(after).to.include('currentTask()');
    });

    it('currentTask() throws outside of a worker', () => {
      expect(thrownBy(currentTask, Error).message).to.include('currentTask()');
    });

    it('attempt counts the tries', async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      const tally = bench.tally();
      expect(await settled(pool.with({ retries: 2 }).submit(survive, 3, tally.token))).to.equal(3);
    });

    it('the signal is aborted when the task is to stop while others keep its worker alive', async () => {
      const pool = bench.pool({ maxWorkers: 1, concurrentTasksPerWorker: 2 });
      const [gate, other, tally, otherTally] = [bench.gate(), bench.gate(), bench.tally(), bench.tally()];
      const stays = pool.submit(untilAborted, other.token, otherTally.token);
      const controller = new AbortController();
      const stopped = pool.with({ signal: controller.signal }).submit(untilAborted, gate.token, tally.token);
      await gate.arrived();
      await other.arrived();
      controller.abort('enough');
      expect(await rejectionOf(stopped)).to.equal('enough');
      await eventually(() => tally.total === 1, 'the abort of the signal');
      expect(otherTally.total).to.equal(0);
      await settled(pool.terminateWorkers());
      await rejectionOf(stays);
    });
  });
}
