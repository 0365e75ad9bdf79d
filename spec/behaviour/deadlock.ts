import { expect } from 'chai';
import { BrokenExecutor, type Future, TimeoutError, WorkerDiedError } from 'concurrent-futures';
import { add, exitBehind } from '../fixtures/tasks.js';
import { learnTraps, receiveTrap, returnTrap, Trap } from '../fixtures/traps.js';
import { consoleErrors } from '../support/console.js';
import { passGate, passGateAsync } from '../support/gate.js';
import {
  type Capabilities,
  type MakeExecutor,
  type Pool,
  type PoolOptions,
  useBench,
} from '../support/pool-under-test.js';
import { instance, rejectionAs, rejectionOf, settled, thrownBy, turns } from '../support/watchdog.js';

type Row = 'throws' | 'exits with 0' | 'exits with 3' | 'cannot be cloned' | 'is never read';
type Column = 'the argument' | 'the running task' | 'the result' | 'the error' | 'a task whose done callback throws';

interface Cell {
  submit: (pool: Pool) => Future<unknown>;
  /** Checks what the future rejected with. */
  expected: (reason: unknown) => void;
}

const IN_CALLBACK = 'thrown by a done callback';

const take = (value: unknown): string => typeof value;

const message =
  (text: string) =>
  (reason: unknown): void => {
    expect(instance(reason, Error).message).to.include(text);
  };

const died =
  (exitCode: number) =>
  (reason: unknown): void => {
    const error = instance(reason, WorkerDiedError);
    expect(error).to.be.instanceOf(BrokenExecutor);
    expect(error).to.include({ name: 'WorkerDiedError', exitCode });
  };

const notCloned = (reason: unknown): void => {
  expect(instance(reason, Error).name).to.equal('DataCloneError');
};

const throwing = (pool: Pool): Future<unknown> =>
  pool.submit(() => {
    throw new RangeError('thrown while running');
  });

const exiting = (code: number) => (pool: Pool) =>
  pool.submit((exitCode: number) => {
    process.exit(exitCode);
  }, code);

/** A property that does something to the worker that reads it, in order to send it. */
const resultThat = {
  throws: (): object => ({
    get trap(): never {
      throw new RangeError('thrown by a getter');
    },
  }),
  exits: (exitCode: number): object => ({
    get trap(): number {
      return process.exit(exitCode);
    },
  }),
};

const errorThat = {
  throws: (): never => {
    throw Object.defineProperty(new RangeError('with a trap'), 'trap', {
      enumerable: true,
      get: () => {
        throw new Error('thrown by a getter');
      },
    });
  },
  exits: (exitCode: number): never => {
    throw Object.defineProperty(new RangeError('with a trap'), 'trap', {
      enumerable: true,
      get: () => {
        process.exit(exitCode);
      },
    });
  },
  cannotBeCloned: (): never => {
    throw Object.assign(new RangeError('with a callback'), { code: 'E_CALLBACK', callback: () => 1 });
  },
};

const callbackThat = (cell: Cell): Cell => ({
  submit: (pool) => {
    const future = cell.submit(pool);
    future.addDoneCallback(() => {
      throw new Error(IN_CALLBACK);
    });
    return future;
  },
  expected: cell.expected,
});

const running: Record<Row, Cell> = {
  throws: { submit: throwing, expected: message('thrown while running') },
  'exits with 0': { submit: exiting(0), expected: died(0) },
  'exits with 3': { submit: exiting(3), expected: died(3) },
  'cannot be cloned': { submit: (pool) => pool.submit(() => Promise.resolve(() => 1)), expected: notCloned },
  'is never read': { submit: throwing, expected: message('thrown while running') },
};

const grid: Record<Column, Record<Row, Cell>> = {
  'the argument': {
    throws: {
      submit: (pool) =>
        pool.submit(take, {
          get trap(): never {
            throw new RangeError('thrown by a getter');
          },
        }),
      expected: (reason) => {
        expect(instance(reason, Error).name).to.be.oneOf(['DataCloneError', 'RangeError']);
      },
    },
    'exits with 0': { submit: (pool) => pool.submit(receiveTrap, new Trap('exits with 0')), expected: died(0) },
    'exits with 3': { submit: (pool) => pool.submit(receiveTrap, new Trap('exits with 3')), expected: died(3) },
    'cannot be cloned': { submit: (pool) => pool.submit(take, () => 1), expected: notCloned },
    'is never read': { submit: (pool) => pool.submit(take, () => 1), expected: notCloned },
  },
  'the running task': running,
  'the result': {
    throws: {
      submit: (pool) => pool.submit(resultThat.throws),
      expected: (reason) => {
        expect(instance(reason, Error).name).to.be.oneOf(['DataCloneError', 'RangeError']);
      },
    },
    'exits with 0': { submit: (pool) => pool.submit(resultThat.exits, 0), expected: died(0) },
    'exits with 3': { submit: (pool) => pool.submit(resultThat.exits, 3), expected: died(3) },
    'cannot be cloned': { submit: (pool) => pool.submit(() => ({ callback: () => 1 })), expected: notCloned },
    'is never read': { submit: (pool) => pool.submit(() => ({ callback: () => 1 })), expected: notCloned },
  },
  'the error': {
    throws: { submit: (pool) => pool.submit(errorThat.throws), expected: message('with a trap') },
    'exits with 0': { submit: (pool) => pool.submit(errorThat.exits, 0), expected: died(0) },
    'exits with 3': { submit: (pool) => pool.submit(errorThat.exits, 3), expected: died(3) },
    'cannot be cloned': {
      submit: (pool) => pool.submit(errorThat.cannotBeCloned),
      expected: (reason) => {
        const error = instance(reason, RangeError);
        expect(error.message).to.equal('with a callback');
        expect((error as { code?: unknown }).code).to.equal('E_CALLBACK');
      },
    },
    'is never read': { submit: (pool) => pool.submit(errorThat.cannotBeCloned), expected: message('with a callback') },
  },
  'a task whose done callback throws': {
    throws: callbackThat(running.throws),
    'exits with 0': callbackThat(running['exits with 0']),
    'exits with 3': callbackThat(running['exits with 3']),
    'cannot be cloned': callbackThat(running['cannot be cloned']),
    'is never read': callbackThat(running['is never read']),
  },
};

const shapes: Record<string, PoolOptions> = {
  'one worker': { maxWorkers: 1 },
  'two workers': { maxWorkers: 2 },
  'one worker that interleaves': { maxWorkers: 1, concurrentTasksPerWorker: 4 },
};

async function tenSucceed(pool: Pool): Promise<void> {
  const ten = Array.from({ length: 10 }, (_, i) => pool.submit(add, i, 1));
  expect(await settled(Promise.all(ten), 'ten further tasks')).to.deep.equal([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
}

/** What goes wrong at each stage of a task's way, and that the executor goes on after it. */
export function describeDeadlock(name: string, makeExecutor: MakeExecutor, capabilities: Capabilities): void {
  describe(`${name}: deadlocks`, () => {
    const bench = useBench(makeExecutor, capabilities);

    for (const [shape, options] of Object.entries(shapes)) {
      describe(shape, () => {
        for (const [column, rows] of Object.entries(grid) as [Column, Record<Row, Cell>][]) {
          for (const [row, cell] of Object.entries(rows) as [Row, Cell][]) {
            it(`ten further tasks succeed when ${column} ${row}`, async () => {
              const pool = bench.pool({ ...options, initializer: learnTraps });
              const calls = await consoleErrors(async () => {
                const future = cell.submit(pool);
                // Those submitted right behind it wait in the same worker's queue. Where they are interleaved with it,
                // its death is theirs.
                const behind = options.concurrentTasksPerWorker === undefined ? tenSucceed(pool) : Promise.resolve();
                if (row === 'is never read') await settled(pool.join(), 'join()');
                else cell.expected(await rejectionOf(future, 'the rejection of the task'));
                await behind;
                await tenSucceed(pool);
                expect(future.outcome()?.status).to.equal('rejected');
              });
              const reports = calls.filter((args) => args.some((arg) => String(arg).includes(IN_CALLBACK)));
              expect(reports).to.have.length(column === 'a task whose done callback throws' ? 1 : 0);
              await settled(pool.shutdown(), 'shutdown()');
            });
          }
        }

        it('ten further tasks succeed when a result cannot be read here', async () => {
          const pool = bench.pool({ ...options, initializer: learnTraps });
          message('the trap snapped')(await rejectionOf(pool.submit(returnTrap, 'throws')));
          await tenSucceed(pool);
        });

        it('ten further tasks succeed when an argument cannot be read there', async () => {
          const pool = bench.pool({ ...options, initializer: learnTraps });
          message('the trap snapped')(await rejectionOf(pool.submit(receiveTrap, new Trap('throws'))));
          await tenSucceed(pool);
        });

        it('ten further tasks succeed when what is thrown is a function or a symbol', async () => {
          const pool = bench.pool(options);
          const throwFunction = pool.submit(() => {
            throw () => 1;
          });
          const throwSymbol = pool.submit(() => {
            throw Symbol('mine');
          });
          await rejectionOf(throwFunction);
          await rejectionOf(throwSymbol);
          await tenSucceed(pool);
        });

        it('ten further tasks succeed when errors are circular', async () => {
          const pool = bench.pool(options);
          const error = await rejectionAs(
            pool.submit(() => {
              const circular = new TypeError('circular');
              circular.cause = circular;
              throw Object.assign(circular, { list: [circular] });
            }),
            TypeError,
          );
          expect(error.cause).to.equal(error);
          await tenSucceed(pool);
        });

        it('ten further tasks succeed when an error is thrown where no task sees it, while one runs', async () => {
          const pool = bench.pool(options);
          const future = pool.submit(
            () =>
              new Promise<void>(() => {
                setTimeout(() => {
                  throw new RangeError('stray');
                }, 1);
              }),
          );
          const error = await rejectionAs(future, WorkerDiedError);
          expect(error.cause).to.include({ name: 'RangeError', message: 'stray' });
          await tenSucceed(pool);
        });

        it('ten further tasks succeed when a promise is rejected where no task sees it, while one runs', async () => {
          const pool = bench.pool(options);
          const future = pool.submit(() => {
            void Promise.reject(new RangeError('stray'));
            return new Promise<void>(() => undefined);
          });
          const error = await rejectionAs(future, WorkerDiedError);
          expect(error.cause).to.include({ name: 'RangeError', message: 'stray' });
          await tenSucceed(pool);
        });

        it('ten further tasks succeed when a task never ends and is stopped', async () => {
          const pool = bench.pool(options);
          const future = pool.with({ timeout: 50 }).submit(() => {
            for (;;);
          });
          await rejectionAs(future, TimeoutError);
          await tenSucceed(pool);
        });
      });
    }

    it('shutdown() that waits resolves when the worker dies after the call', async () => {
      const { pool, gate } = await bench.blocked();
      const future = pool.submit(() => {
        process.exit(3);
      });
      const after = pool.submit(add, 1, 2);
      const ended = pool.shutdown();
      gate.open();
      await settled(ended);
      died(3)(await rejectionOf(future));
      expect(await settled(after)).to.equal(3);
    });

    it('shutdown({ wait: false }) after an argument that cannot be cloned ends the workers', async () => {
      const pool = bench.pool({ maxWorkers: 2 });
      await settled(pool.submit(add, 1, 2));
      const future = pool.submit(take, () => 1);
      await settled(pool.shutdown({ wait: false }));
      notCloned(await rejectionOf(future));
      await settled(pool.shutdown());
      expect(pool.stats().workers).to.equal(0);
    });

    it('arguments that cannot be cloned, in a row behind a running task, do not strand the task behind them', async () => {
      const { pool, gate } = await bench.blocked();
      const refused = Array.from({ length: 8 }, () => pool.submit(take, () => 1));
      const behind = pool.submit(add, 1, 2);
      await turns();
      gate.open();
      for (const future of refused) notCloned(await rejectionOf(future));
      expect(await settled(behind)).to.equal(3);
    });

    it('map() of large arguments over a task that kills its worker rejects', async () => {
      const pool = bench.pool({ maxWorkers: 2 });
      const data = 'a'.repeat(1_000_000);
      const crash = (text: string): number => {
        if (text.length > 0) process.exit(3);
        return 1;
      };
      await rejectionAs(pool.map(crash, Array<string>(10).fill(data)), BrokenExecutor);
      await settled(pool.shutdown());
    });

    it('a map of a hundred items ends when its first task is submitted before any worker is up', async () => {
      const pool = bench.pool({ maxWorkers: 2 });
      const results = await settled(pool.map((x: number) => x, Array(100).keys()));
      expect(results).to.have.length(100);
    });

    it('a worker that dies fails what it had begun, and nothing else', async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      const gate = bench.gate();
      const before = Array.from({ length: 5 }, (_, i) => pool.submit(add, i, 0));
      const dying = pool.submit(exitBehind, gate.token);
      const behind = Array.from({ length: 500 }, (_, i) => pool.submit(add, i, 0));
      await gate.arrived();
      gate.open();
      died(3)(await rejectionOf(dying));
      expect(await settled(Promise.all(before))).to.deep.equal([0, 1, 2, 3, 4]);
      expect(await settled(Promise.all(behind))).to.deep.equal(Array.from({ length: 500 }, (_, i) => i));
      expect(pool.stats()).to.include({ submitted: 506, completed: 505, failed: 1, cancelled: 0 });
    });

    it('a worker that dies fails all that it interleaved, each with an error of its own', async () => {
      const pool = bench.pool({ maxWorkers: 1, concurrentTasksPerWorker: 3 });
      const gate = bench.gate();
      const waiting = [pool.submit(passGateAsync, gate.token), pool.submit(passGateAsync, gate.token)];
      await gate.arrived(2);
      const dying = pool.submit(() => {
        process.exit(3);
      });
      const errors = await Promise.all([...waiting, dying].map((future) => rejectionAs(future, WorkerDiedError)));
      expect(new Set(errors).size).to.equal(3);
      await tenSucceed(pool);
    });

    it('a result that is finished arrives although its worker dies right after it', async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      for (const value of [1, 'text', { large: 'x'.repeat(100_000) }]) {
        const finished = pool.submit((x: unknown) => x, value);
        const dying = pool.submit(() => {
          process.exit(3);
        });
        expect(await settled(finished)).to.deep.equal(value);
        died(3)(await rejectionOf(dying));
      }
    });

    it('a result that is finished does not wait for a task behind it that blocks the thread', async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      const gate = bench.gate();
      const finished = [pool.submit(add, 1, 2), pool.submit(() => 'text'), pool.submit(() => ({ an: 'object' }))];
      const blocked = pool.submit(passGate, gate.token, 5);
      expect(await settled(Promise.all(finished))).to.deep.equal([3, 'text', { an: 'object' }]);
      gate.open();
      expect(await settled(blocked)).to.equal(5);
    });

    it('the last of many quick results do not wait for the task behind them that blocks the thread', async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      // Known to be quick, so that they are sent together.
      await settled(Promise.all(Array.from({ length: 300 }, (_, i) => pool.submit(add, i, 1))));
      const gate = bench.gate();
      const quick = Array.from({ length: 300 }, (_, i) => pool.submit(add, i, 1));
      const texts = Array.from({ length: 300 }, (_, i) => pool.submit((n: number) => `text ${String(n)}`, i));
      const blocked = pool.submit(passGate, gate.token, 5);
      expect(await settled(Promise.all(quick))).to.deep.equal(quick.map((_, i) => i + 1));
      expect(await settled(Promise.all(texts))).to.deep.equal(texts.map((_, i) => `text ${String(i)}`));
      gate.open();
      expect(await settled(blocked)).to.equal(5);
    });

    it('ten deaths in a row break the pool: queued futures reject, each with an error object of its own', async function () {
      this.timeout(40_000);
      const pool = bench.pool({ maxWorkers: 1 });
      const exit = () => {
        process.exit(3);
      };
      const dying = Array.from({ length: 10 }, () => pool.submit(exit));
      const queued = [pool.submit(add, 1, 2), pool.submit(add, 3, 4)];
      for (const future of dying) await rejectionAs(future, WorkerDiedError);
      const errors = await Promise.all(queued.map((future) => rejectionAs(future, capabilities.BrokenPool)));
      expect(errors[0]).not.to.equal(errors[1]);
      thrownBy(() => pool.submit(add, 1, 2), capabilities.BrokenPool);
      expect(pool.stats()).to.include({ submitted: 12, failed: 12, queued: 0, running: 0 });
      await settled(pool.shutdown());
    });

    it('nine deaths in a row, something finished, and nine more do not break the pool', async function () {
      this.timeout(40_000);
      const pool = bench.pool({ maxWorkers: 1 });
      for (let round = 0; round < 2; round++) {
        const dying = Array.from({ length: 9 }, () =>
          pool.submit(() => {
            process.exit(3);
          }),
        );
        for (const future of dying) await rejectionAs(future, WorkerDiedError);
        expect(await settled(pool.submit(add, round, 1))).to.equal(round + 1);
      }
    });

    it('a mixture of everything leaves each future with its own end, and counters that add up', async function () {
      this.timeout(60_000);
      const pool = bench.pool({ maxWorkers: 3 });
      const futures = Array.from({ length: 240 }, (_, i) => {
        switch (i % 12) {
          case 3:
            return exiting(3)(pool);
          case 5:
            return throwing(pool);
          case 7:
            return pool.submit(take, () => 1);
          case 9:
            return pool.submit(() => () => 1);
          case 10: {
            const future = pool.submit(add, i, 0);
            future.cancel();
            return future;
          }
          default:
            return pool.submit(add, i, 0);
        }
      });
      await settled(pool.join(), 'join()');
      const counted = { cancelled: 0, completed: 0, failed: 0 };
      futures.forEach((future, i) => {
        const outcome = future.outcome();
        if (future.cancelled()) counted.cancelled++;
        else if (outcome?.status === 'fulfilled') counted.completed++;
        else counted.failed++;
        const reason: unknown = outcome?.status === 'rejected' ? outcome.reason : undefined;
        switch (i % 12) {
          case 3:
            died(3)(reason);
            break;
          case 5:
            message('thrown while running')(reason);
            break;
          case 7:
          case 9:
            notCloned(reason);
            break;
          default:
            if (!future.cancelled()) expect(outcome).to.deep.equal({ status: 'fulfilled', value: i });
        }
      });
      expect(pool.stats()).to.include({ submitted: 240, queued: 0, running: 0, ...counted });
    });
  });
}
