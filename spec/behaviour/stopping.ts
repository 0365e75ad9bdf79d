import FakeTimers from '@sinonjs/fake-timers';
import { expect } from 'chai';
import { CancelledError, type Future, tasksFrom, TimeoutError, WorkerDiedError } from 'concurrent-futures';
import { add, untilAborted } from '../fixtures/tasks.js';
import { Gate, passGate, passGateAsync } from '../support/gate.js';
import { type Capabilities, type MakeExecutor, type Pool, useBench } from '../support/pool-under-test.js';
import { eventually, rejectionAs, rejectionOf, settled, turns } from '../support/watchdog.js';

const loopForEver = (): never => {
  for (;;);
};

/** Ways to stop a task that runs, and what its future then rejects with. */
const STOPS: Record<
  string,
  (pool: Pool) => { future: Future<unknown>; stop: () => void; check: (e: unknown) => void }
> = {
  'with({ timeout })': (pool) => ({
    future: pool.with({ timeout: 50 }).submit(loopForEver),
    stop: () => undefined,
    check: (error) => {
      expect(error).to.be.instanceOf(TimeoutError);
    },
  }),
  'with({ signal })': (pool) => {
    const controller = new AbortController();
    return {
      future: pool.with({ signal: controller.signal }).submit(loopForEver),
      stop: () => {
        controller.abort('stopped');
      },
      check: (error) => {
        expect(error).to.equal('stopped');
      },
    };
  },
};

/** How tasks that run are stopped, alone and among others, and how a pool is. */
export function describeStopping(name: string, makeExecutor: MakeExecutor, capabilities: Capabilities): void {
  describe(`${name}: stopping`, () => {
    const bench = useBench(makeExecutor, capabilities);

    for (const [way, begin] of Object.entries(STOPS)) {
      it(`${way} stops a busy loop: its worker is replaced, and what waited behind it runs there`, async () => {
        const pool = bench.pool({ maxWorkers: 1, threadNamePrefix: 'looping' });
        // The worker is up and has been given a task before the loop blocks it.
        const first = await settled(pool.submit(() => process.pid));
        const { future, stop, check } = begin(pool);
        const behind = pool.submit(() => [process.pid, 'behind'] as const);
        const rejection = rejectionOf(future);
        await turns(10);
        stop();
        check(await rejection);
        const [pid, value] = await settled(behind);
        expect(value).to.equal('behind');
        expect(pid === first).to.equal(!capabilities.ownProcess);
        expect(pool.stats()).to.include({ workers: 1, submitted: 3, completed: 2, failed: 1 });
      });
    }

    it('a worker that a stopped task blocks is ended although a clock fakes timers', async () => {
      const pool = bench.pool({ maxWorkers: 1, concurrentTasksPerWorker: 2 });
      const gate = bench.gate();
      const controller = new AbortController();
      const beside = pool.submit(passGateAsync, gate.token);
      await gate.arrived();
      const rejection = rejectionOf(pool.with({ signal: controller.signal }).submit(loopForEver));
      await turns(10);
      const clock = FakeTimers.install({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] });
      try {
        controller.abort('stopped');
        expect(await rejection).to.equal('stopped');
        expect(await rejectionOf(beside)).to.be.instanceOf(WorkerDiedError);
        await settled(pool.shutdown(), 'shutdown()');
      } finally {
        clock.uninstall();
      }
    });

    describe('a task that ends while another one is being stopped', () => {
      it('counts once when its worker could not be sent it', async () => {
        const pool = bench.pool({ maxWorkers: 1, concurrentTasksPerWorker: 2 });
        const [stopped, kept, last] = [bench.gate(), bench.gate(), bench.gate()];
        const controller = new AbortController();
        const under = pool.with({ signal: controller.signal });
        const first = under.submit(passGateAsync, stopped.token);
        const second = pool.submit(passGateAsync, kept.token, 2);
        await Promise.all([stopped.arrived(), kept.arrived()]);
        // These wait. The worker that replaces the first one takes both of them, but the function cannot be cloned.
        const third = pool.submit(passGateAsync, last.token, 3);
        const unclonable = under.submit(add, (() => 1) as unknown as number, 1);
        controller.abort('stopped');
        expect(await rejectionOf(first)).to.equal('stopped');
        await rejectionOf(unclonable);
        const { submitted, completed, failed, cancelled, running, queued } = pool.stats();
        expect({ submitted, completed, ended: failed + cancelled }).to.deep.equal({
          submitted: 4,
          completed: 0,
          ended: 2,
        });
        expect(running + queued).to.equal(2);
        const seen: string[] = [];
        const joined = pool.join().then(() => seen.push('joined'));
        await turns(5);
        seen.push('opened');
        kept.open();
        last.open();
        await settled(joined, 'join()');
        expect(seen).to.deep.equal(['opened', 'joined']);
        expect(await settled(Promise.all([second, third]))).to.deep.equal([2, 3]);
      });

      it('counts once when a callback of the other one aborts it', async () => {
        const pool = bench.pool({ maxWorkers: 1, concurrentTasksPerWorker: 2 });
        const [slow, fast] = [new AbortController(), new AbortController()];
        const gate = bench.gate();
        const first = pool.with({ signal: slow.signal }).submit(passGateAsync, gate.token, 1);
        const second = pool.with({ signal: fast.signal }).submit(passGateAsync, gate.token, 2);
        await gate.arrived(2);
        first.addDoneCallback(() => {
          fast.abort('too late or not');
        });
        second.addDoneCallback(() => {
          slow.abort('too late or not');
        });
        gate.open();
        await settled(Promise.allSettled([first, second]));
        const { submitted, completed, failed, cancelled } = pool.stats();
        expect({ submitted, ended: completed + failed + cancelled }).to.deep.equal({ submitted: 2, ended: 2 });
        await settled(pool.join(), 'join()');
      });
    });

    describe('one of several tasks in one worker', () => {
      const gates: Gate[] = [];
      const fileGate = (): Gate & { token: string } => {
        const gate = new Gate(false);
        gates.push(gate);
        return gate as Gate & { token: string };
      };
      afterEach(() => {
        for (const gate of gates.splice(0)) gate[Symbol.dispose]();
      });

      it('a task stopped while its module loads is never called, and cannot block the others', async () => {
        const pool = bench.pool({ maxWorkers: 1, concurrentTasksPerWorker: 3 });
        const [door, loading, listening] = [fileGate(), fileGate(), fileGate()];
        const neighbour = pool.submit(passGateAsync, door.token, 5);
        await door.arrived();
        const url = new URL(`../fixtures/gated-module.js?gate=${encodeURIComponent(loading.token)}`, import.meta.url);
        const tasks = tasksFrom<typeof import('../fixtures/gated-module.js')>(url);
        const controller = new AbortController();
        const future = pool.with({ signal: controller.signal }).submit(tasks.blockForEver);
        await loading.arrived();
        // Stopped after it, and heard of in the worker: then the worker has heard of both.
        const witness = new AbortController();
        const heard = bench.tally();
        const last = pool.with({ signal: witness.signal }).submit(untilAborted, listening.token, heard.token);
        await listening.arrived();
        controller.abort('stopped');
        witness.abort('stopped too');
        expect(await rejectionOf(future)).to.equal('stopped');
        expect(await rejectionOf(last)).to.equal('stopped too');
        await eventually(() => heard.total > 0, 'the signal in the worker');
        loading.open();
        await turns(20);
        door.open();
        expect(await settled(neighbour)).to.equal(5);
        expect(await settled(pool.submit(add, 1, 2))).to.equal(3);
      });

      it('a task that blocks its thread only after it was stopped hangs nobody', async () => {
        const pool = bench.pool({ maxWorkers: 1, concurrentTasksPerWorker: 2 });
        const [door, fuse] = [fileGate(), fileGate()];
        const neighbour = pool.submit(passGateAsync, door.token, 5);
        await door.arrived();
        const controller = new AbortController();
        const future = pool.with({ signal: controller.signal }).submit(async (gate: string) => {
          const { appendFileSync, existsSync } = process.getBuiltinModule('node:fs');
          appendFileSync(`${gate}/arrived`, '.');
          while (!existsSync(`${gate}/open`)) await new Promise((resolve) => setTimeout(resolve, 2));
          appendFileSync(`${gate}/arrived`, '.');
          for (;;);
        }, fuse.token);
        await fuse.arrived();
        controller.abort('stopped');
        expect(await rejectionOf(future)).to.equal('stopped');
        // The thread answers until here.
        await turns(20);
        fuse.open();
        await fuse.arrived(2);
        await rejectionAs(neighbour, WorkerDiedError);
        expect(await settled(pool.submit(add, 1, 2))).to.equal(3);
      });

      it('two tasks stopped one right after the other harm no third', async () => {
        const pool = bench.pool({ maxWorkers: 1, concurrentTasksPerWorker: 3 });
        const door = fileGate();
        const futures = [0, 1, 2].map((i) => {
          const controller = new AbortController();
          return { controller, future: pool.with({ signal: controller.signal }).submit(passGateAsync, door.token, i) };
        });
        await door.arrived(3);
        for (const { controller, future } of futures.slice(1)) {
          controller.abort('stopped');
          expect(await rejectionOf(future)).to.equal('stopped');
        }
        // Longer than a thread may be silent: no event tells that it has not been ended.
        await new Promise((resolve) => setTimeout(resolve, 1300));
        door.open();
        expect(await settled(futures[0]?.future ?? Promise.reject(new Error('no future')))).to.equal(0);
        expect(await settled(pool.submit(add, 1, 2))).to.equal(3);
      });

      it('cancel() of one that has not begun leaves those that run, and their worker, alone', async () => {
        const pool = bench.pool({ maxWorkers: 1, concurrentTasksPerWorker: 2 });
        const door = fileGate();
        const running = [1, 2].map((i) => pool.submit(passGateAsync, door.token, i));
        await door.arrived(2);
        const waiting = pool.submit(add, 1, 2);
        expect([waiting.cancel(), ...running.map((future) => future.cancel())]).to.deep.equal([true, false, false]);
        door.open();
        expect(await settled(Promise.all(running))).to.deep.equal([1, 2]);
        expect(pool.stats()).to.include({ workers: 1, completed: 2, cancelled: 1, failed: 0 });
      });
    });

    for (const wait of [true, false]) {
      for (const cancelFutures of [true, false]) {
        const does = `${cancelFutures ? 'cancels' : 'does'} what waits, ${wait ? 'and waits' : 'and does not wait'}`;
        it(`shutdown({ wait: ${String(wait)}, cancelFutures: ${String(cancelFutures)} }) ${does}`, async () => {
          const { pool, gate, blocker } = await bench.blocked();
          const waiting = [1, 2, 3].map((i) => pool.submit(add, i, 0));
          let resolved = false;
          const ended = pool.shutdown({ wait, cancelFutures }).then(() => {
            resolved = true;
          });
          expect(waiting.map((future) => future.cancelled())).to.deep.equal(Array(3).fill(cancelFutures));
          await turns();
          expect([resolved, blocker.done()]).to.deep.equal([!wait, false]);
          gate.open();
          expect(await settled(blocker)).to.equal(0);
          if (cancelFutures) for (const future of waiting) await rejectionAs(future, CancelledError);
          else expect(await settled(Promise.all(waiting))).to.deep.equal([1, 2, 3]);
          await settled(ended);
          await settled(pool.shutdown());
          expect(pool.stats()).to.include({ workers: 0, queued: 0, running: 0 });
        });
      }
    }

    it('terminateWorkers() ends threads that are blocked, and their tasks with them', async () => {
      const pool = bench.pool({ maxWorkers: 2 });
      const gate = bench.gate();
      const blocked = [1, 2].map((i) => pool.submit(passGate, gate.token, i));
      await gate.arrived(2);
      await settled(pool.terminateWorkers());
      for (const future of blocked) await rejectionAs(future, capabilities.BrokenPool);
      expect(pool.stats()).to.include({ workers: 0, failed: 2 });
    });
  });
}
