import { expect } from 'chai';
import { BrokenExecutor, CancelledError, ExecutorShutdownError } from 'concurrent-futures';
import { runScript } from '../support/child.js';
import { passGate, touch } from '../support/gate.js';
import { type Capabilities, type MakeExecutor, useBench } from '../support/pool-under-test.js';
import { rejectionAs, rejectionOf, settled, thrownBy, turns } from '../support/watchdog.js';

const identity = (x: number): number => x;
const range = (length: number): number[] => Array.from({ length }, (_, i) => i);

/** The end of an executor: shutdown in its combinations, join, terminateWorkers, and the end of the process. */
export function describeShutdown(name: string, makeExecutor: MakeExecutor, capabilities: Capabilities): void {
  describe(`${name}: shutdown`, () => {
    const bench = useBench(makeExecutor, capabilities);

    it('submit() after shutdown() throws an ExecutorShutdownError', async () => {
      const pool = bench.pool();
      await settled(pool.submit(identity, 1));
      const ended = pool.shutdown();
      thrownBy(() => pool.submit(identity, 1), ExecutorShutdownError);
      await settled(ended);
      const error = thrownBy(() => pool.submit(identity, 1), ExecutorShutdownError);
      expect(error.name).to.equal('ExecutorShutdownError');
      thrownBy(() => pool.with({ priority: 1 }).submit(identity, 1), ExecutorShutdownError);
      expect(pool.stats().submitted).to.equal(1);
    });

    it('resize() after shutdown() starts no workers', async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      await settled(pool.submit(identity, 1));
      const ended = pool.shutdown();
      await settled(pool.resize({ maxWorkers: 2, minWorkers: 2 }));
      await settled(ended, 'shutdown()');
      expect(pool.stats().workers).to.equal(0);
    });

    it('shutdown() of an executor that was never used resolves', async () => {
      await settled(bench.pool().shutdown());
    });

    it('shutdown() resolves when every task has ended and the workers are gone', async () => {
      const pool = bench.pool({ maxWorkers: 2 });
      const futures = range(50).map((i) => pool.submit(identity, i));
      await settled(pool.shutdown());
      expect(futures.map((future) => future.outcome())).to.deep.equal(
        range(50).map((value) => ({ status: 'fulfilled', value })),
      );
      expect(pool.stats()).to.include({ workers: 0, idle: 0, busy: 0, queued: 0, running: 0, completed: 50 });
    });

    it('shutdown() does not resolve while a task runs', async () => {
      const { pool, gate, blocker } = await bench.blocked();
      let ended = false;
      const shutdown = pool.shutdown().then(() => {
        ended = true;
        return blocker.done();
      });
      await turns();
      expect(ended).to.equal(false);
      gate.open();
      expect(await settled(shutdown)).to.equal(true);
    });

    it('shutdown() after a map that nobody reads resolves', async () => {
      const pool = bench.pool({ maxWorkers: 2 });
      void pool.map((x: number) => String(x), [2, 2, 2]);
      await settled(pool.shutdown());
      expect(pool.stats()).to.include({ completed: 3, workers: 0 });
    });

    it('shutdown() resolves when a future was cancelled right before it', async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      await settled(pool.submit(identity, 1));
      pool.submit(identity, 1).cancel();
      await settled(pool.shutdown());
    });

    it('shutdown() resolves when the only task was cancelled before a worker was up', async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      expect(pool.submit(identity, 1).cancel()).to.equal(true);
      await settled(pool.shutdown());
      expect(pool.stats()).to.include({ workers: 0, submitted: 1, cancelled: 1 });
    });

    it('shutdown({ cancelFutures }) cancels what no worker has begun, in the call', async () => {
      const { pool, gate, blocker } = await bench.blocked();
      const tally = bench.tally();
      const futures = range(50).map(() => pool.submit(touch, tally.token));
      const ended = pool.shutdown({ cancelFutures: true });
      expect(futures.every((future) => future.cancelled())).to.equal(true);
      expect(blocker.done()).to.equal(false);
      gate.open();
      await settled(ended);
      expect(blocker.outcome()).to.deep.equal({ status: 'fulfilled', value: 0 });
      expect(tally.total).to.equal(0);
      await rejectionAs(futures[0] as PromiseLike<unknown>, CancelledError);
      expect(pool.stats()).to.include({ submitted: 51, completed: 1, cancelled: 50 });
    });

    it('shutdown({ cancelFutures }) leaves no future undecided, whatever it meets', async () => {
      const pool = bench.pool({ maxWorkers: 2 });
      const tally = bench.tally(500);
      const futures = range(500).map((i) => pool.submit(touch, tally.token, i));
      await settled(futures[20] as PromiseLike<number>);
      await settled(pool.shutdown({ cancelFutures: true }));
      futures.forEach((future, i) => {
        expect(future.done(), String(i)).to.equal(true);
        expect(tally.at(i), String(i)).to.equal(future.cancelled() ? 0 : 1);
      });
    });

    it('shutdown({ wait: false }) resolves at once, and what was submitted is still done', async () => {
      const { pool, gate, blocker } = await bench.blocked();
      const futures = range(5).map((i) => pool.submit(identity, i));
      await settled(pool.shutdown({ wait: false }));
      expect(blocker.done()).to.equal(false);
      thrownBy(() => pool.submit(identity, 1), ExecutorShutdownError);
      gate.open();
      expect(await settled(Promise.all(futures))).to.deep.equal(range(5));
    });

    it('shutdown({ wait: false, cancelFutures: true }) cancels and resolves at once', async () => {
      const { pool, gate, blocker } = await bench.blocked();
      const future = pool.submit(identity, 1);
      await settled(pool.shutdown({ wait: false, cancelFutures: true }));
      expect([future.cancelled(), blocker.done()]).to.deep.equal([true, false]);
      gate.open();
      expect(await settled(blocker)).to.equal(0);
    });

    it('shutdown() may be called again: later calls add waiting and cancelling', async () => {
      const { pool, gate } = await bench.blocked();
      const future = pool.submit(identity, 1);
      await settled(pool.shutdown({ wait: false }));
      expect(future.done()).to.equal(false);
      await settled(pool.shutdown({ wait: false, cancelFutures: true }));
      expect(future.cancelled()).to.equal(true);
      const ended = pool.shutdown();
      gate.open();
      await settled(ended);
      expect(pool.stats().workers).to.equal(0);
      await settled(pool.shutdown());
      await settled(pool.shutdown({ cancelFutures: true }));
    });

    it('shutdown() called again without cancelFutures does not take the cancelling back', async () => {
      const { pool, gate } = await bench.blocked();
      const future = pool.submit(identity, 1);
      const first = pool.shutdown({ cancelFutures: true });
      const second = pool.shutdown({ cancelFutures: false });
      gate.open();
      await settled(Promise.all([first, second]));
      expect(future.cancelled()).to.equal(true);
    });

    it('shutdown() may be called from a done callback', async () => {
      const pool = bench.pool();
      const ended = new Promise<void>((resolve, reject) => {
        pool.submit(identity, 1).addDoneCallback(() => {
          pool.shutdown().then(resolve, reject);
        });
      });
      await settled(ended);
    });

    it('shutdown() ends workers in which timers and listeners are left', async () => {
      const pool = bench.pool();
      await settled(
        pool.submit(() => {
          setInterval(() => undefined, 1000);
        }),
      );
      await settled(pool.shutdown());
      expect(pool.stats().workers).to.equal(0);
    });

    it('shutdown() settles those who wait for room', async () => {
      const { pool, gate } = await bench.blocked({ maxQueueSize: 1 });
      pool.submit(identity, 1);
      const ready = pool.ready().then(
        () => 'settled',
        () => 'settled',
      );
      const ended = pool.shutdown();
      gate.open();
      expect(await settled(ready)).to.equal('settled');
      await settled(ended);
    });

    it('await using shuts the executor down at the end of the block', async () => {
      let outside;
      let future;
      {
        await using pool = bench.pool();
        future = pool.submit(identity, 5);
        outside = pool;
      }
      expect(future.outcome()).to.deep.equal({ status: 'fulfilled', value: 5 });
      expect(outside.stats().workers).to.equal(0);
      thrownBy(() => outside.submit(identity, 1), ExecutorShutdownError);
    });

    it('join() resolves when every task submitted so far has ended, and leaves the pool usable', async () => {
      const pool = bench.pool({ maxWorkers: 2 });
      await settled(pool.join());
      const futures = range(20).map((i) => pool.submit(identity, i));
      futures.push(
        pool.submit((): number => {
          throw new Error('ends badly');
        }),
      );
      const cancelled = pool.submit(identity, 1);
      cancelled.cancel();
      await settled(pool.join());
      expect(futures.every((future) => future.done())).to.equal(true);
      expect(await settled(pool.submit(identity, 7))).to.equal(7);
    });

    it('join() does not wait for tasks submitted after it', async () => {
      const { pool, gate, blocker } = await bench.blocked({ maxWorkers: 2 });
      const second = bench.gate();
      const early = pool.submit(passGate, second.token);
      await second.arrived();
      const joined = pool.join();
      const late = bench.gate();
      const after = pool.submit(passGate, late.token);
      gate.open();
      second.open();
      await settled(joined);
      expect([blocker.done(), early.done(), after.done()]).to.deep.equal([true, true, false]);
      late.open();
      await settled(after);
    });

    it('join() resolves when workers die', async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      const future = pool.submit(() => {
        process.exit(3);
      });
      await settled(pool.join());
      expect(future.outcome()?.status).to.equal('rejected');
    });

    it('terminateWorkers() fails what was running or queued with BrokenExecutor', async () => {
      const { pool, blocker } = await bench.blocked();
      const queued = range(10).map((i) => pool.submit(identity, i));
      const ended = pool.terminateWorkers();
      const errors = await Promise.all([blocker, ...queued].map((future) => rejectionAs(future, BrokenExecutor)));
      expect(new Set(errors).size).to.equal(11);
      await settled(ended);
      expect(pool.stats()).to.include({
        workers: 0,
        idle: 0,
        busy: 0,
        queued: 0,
        running: 0,
        submitted: 11,
        failed: 11,
      });
      thrownBy(() => pool.submit(identity, 1), ExecutorShutdownError);
    });

    it('terminateWorkers() ends loops that never end', async () => {
      const pool = bench.pool({ maxWorkers: 2 });
      const gate = bench.gate();
      gate.open();
      const looping = range(2).map(() =>
        pool.submit(() => {
          for (;;);
        }),
      );
      await turns();
      await settled(pool.terminateWorkers());
      for (const future of looping) await rejectionAs(future, BrokenExecutor);
    });

    it('terminateWorkers() ends an executor that is idle, unused, shut down or terminated already', async () => {
      const unused = bench.pool();
      await settled(unused.terminateWorkers());
      await settled(unused.terminateWorkers());
      await settled(unused.shutdown());
      thrownBy(() => unused.submit(identity, 1), ExecutorShutdownError);
      const idle = bench.pool();
      await settled(idle.submit(identity, 1));
      await settled(idle.terminateWorkers());
      expect(idle.stats()).to.include({ workers: 0, completed: 1, failed: 0 });
      const shut = bench.pool();
      await settled(shut.submit(identity, 1));
      await settled(shut.shutdown());
      await settled(shut.terminateWorkers());
    });

    it('terminateWorkers() ends a shutdown that waits', async () => {
      const { pool, blocker } = await bench.blocked();
      const ended = pool.shutdown();
      await settled(pool.terminateWorkers());
      await settled(ended);
      await rejectionAs(blocker, BrokenExecutor);
    });

    it('terminateWorkers() right after submit() fails the tasks of workers that are starting', async () => {
      const pool = bench.pool({ maxWorkers: 2 });
      const futures = range(4).map((i) => pool.submit(identity, i));
      await settled(pool.terminateWorkers());
      for (const future of futures) await rejectionAs(future, BrokenExecutor);
      expect(pool.stats().workers).to.equal(0);
    });

    it('terminateWorkers() settles join(), ready() and map()', async () => {
      const { pool } = await bench.blocked({ maxQueueSize: 1 });
      const results = pool.map(identity, range(3));
      const waits = Promise.allSettled([pool.join(), pool.ready(), results]);
      await turns();
      await settled(pool.terminateWorkers());
      const [joined, , mapped] = await settled(waits);
      expect([joined.status, mapped.status]).to.deep.equal(['fulfilled', 'rejected']);
    });

    it('cancelled futures stay cancelled when the workers are terminated', async () => {
      const { pool } = await bench.blocked();
      const future = pool.submit(identity, 1);
      future.cancel();
      await settled(pool.terminateWorkers());
      expect(future.cancelled()).to.equal(true);
      await rejectionAs(future, CancelledError);
    });

    describe('the process', () => {
      const script = new URL('../fixtures/lifetime.js', import.meta.url);
      const run = async (scenario: string) => {
        const { code, signal, stdout, stderr } = await runScript(script, [capabilities.module, scenario]);
        return { code, signal, stdout, stderr };
      };
      const prints = (stdout: string) => ({ code: 0, signal: null, stdout, stderr: '' });

      for (const scenario of [
        'made and never used',
        'made with workers that are kept',
        'idle after a task',
        'idle after a task, workers kept',
        'a timeout that is still counting',
        'a stream that a task gave and nobody reads',
        'workers that leave a timer behind',
        'workers that leave a timer behind, shut down',
      ]) {
        it(`ends by itself when an executor is: ${scenario}`, async () => {
          expect(await run(scenario)).to.deep.equal(prints('apple\n'));
        });
      }

      for (const [scenario, stdout] of [
        ['a task nobody waits for', 'apple\n'],
        ['queued tasks nobody waits for', 'apple\nbanana\ncherry\n'],
        ['a task begun after an idle time', 'apple\n'],
        ['a map nobody waits for', 'apple,banana,cherry\n'],
        ['a stream that a task gave and that is read', 'apple,banana,cherry\n'],
        ['shutdown without waiting', 'apple\n'],
        ['shutdown awaited', 'apple\n'],
        ['shutdown that nobody waits for', 'apple\n'],
        ['join awaited', 'apple\njoined\n'],
        ['a result awaited with a timeout', 'apple\n'],
      ] as const) {
        it(`stays alive while something is pending: ${scenario}`, async () => {
          expect(await run(scenario)).to.deep.equal(prints(stdout));
        });
      }

      it('ends when what was pending is cancelled', async () => {
        expect(await run('cancelled before it began')).to.deep.equal(prints('true\n'));
        expect(await run('shutdown without waiting, futures cancelled')).to.deep.equal(prints('done\n'));
      });

      it('ends when its workers are terminated under a loop that never ends', async () => {
        expect(await run('a loop that never ends, terminated')).to.deep.equal(prints('true\n'));
      });

      it('does not crash because of a failure that nobody looks at', async () => {
        expect(await run('a failure nobody looks at')).to.include({ code: 0, signal: null });
        expect(await run('a worker that dies under a task nobody looks at')).to.include({ code: 0, signal: null });
      });

      it('ends when the initializer fails', async () => {
        const ending = await run('an initializer that fails');
        expect(ending).to.include({ code: 0, signal: null });
        expect(ending.stdout).to.include(`${capabilities.BrokenPool.name}: `);
      });
    });

    it('a rejection after the shutdown is the one that the task threw', async () => {
      const { pool, gate } = await bench.blocked();
      const future = pool.submit(() => {
        throw new RangeError('late');
      });
      const ended = pool.shutdown();
      gate.open();
      await settled(ended);
      expect(await rejectionOf(future)).to.include({ name: 'RangeError', message: 'late' });
    });
  });
}
