import { expect } from 'chai';
import { BrokenExecutor, proxy } from 'concurrent-futures';
import { add, countCalls } from '../fixtures/tasks.js';
import { passGate, touch } from '../support/gate.js';
import { type Capabilities, type MakeExecutor, useBench } from '../support/pool-under-test.js';
import { eventually, instance, rejectionAs, settled, thrownBy } from '../support/watchdog.js';

interface Marked {
  mark?: string;
}

const setMark = (mark: string): void => {
  (globalThis as Marked).mark = mark;
};
const getMark = (): string | undefined => (globalThis as Marked).mark;
const fail = (): void => {
  throw new TypeError('error in the initializer');
};

/** Initializers that succeed and that fail. */
export function describeInitializer(name: string, makeExecutor: MakeExecutor, capabilities: Capabilities): void {
  describe(`${name}: initializer`, () => {
    const bench = useBench(makeExecutor, capabilities);
    const { BrokenPool } = capabilities;

    it('initializer runs in each worker before its first task, with initargs', async () => {
      const pool = bench.pool({ maxWorkers: 2, initializer: setMark, initargs: ['initialized'] });
      const gate = bench.gate();
      const blocked = [0, 1].map(() => pool.submit(passGate, gate.token));
      await gate.arrived(2);
      gate.open();
      await settled(Promise.all(blocked));
      const marks = await settled(Promise.all([1, 2, 3, 4].map(() => pool.submit(getMark))));
      expect(marks).to.deep.equal(Array(4).fill('initialized'));
    });

    it('initargs cross as arguments do: each worker gets what the transfer handlers make of them', async () => {
      const heard: string[] = [];
      const keep = async (
        url: URL,
        error: Error & { code?: string },
        say: (text: string) => unknown,
      ): Promise<void> => {
        (globalThis as Marked).mark = `${url.hostname} ${String(error.code)}`;
        await say(url.hostname);
      };
      const pool = bench.pool({
        maxWorkers: 2,
        minWorkers: 2,
        initializer: keep,
        initargs: [
          new URL('http://apple/'),
          Object.assign(new Error('banana'), { code: 'CHERRY' }),
          proxy((text: string) => heard.push(text)),
        ],
      });
      expect(await settled(pool.submit(getMark))).to.equal('apple CHERRY');
      await eventually(() => heard.length === 2, 'both initializers');
    });

    it('initializer runs once a worker', async () => {
      const tally = bench.tally();
      const pool = bench.pool({ maxWorkers: 1, initializer: touch, initargs: [tally.token] });
      for (let i = 0; i < 3; i++) await settled(pool.submit(add, i, 1));
      expect(tally.total).to.equal(1);
    });

    it('initializer runs again in the worker that replaces another', async () => {
      const tally = bench.tally();
      const pool = bench.pool({ maxWorkers: 1, initializer: touch, initargs: [tally.token], maxTasksPerWorker: 2 });
      for (let i = 0; i < 5; i++) await settled(pool.submit(add, i, 1));
      expect(tally.total).to.equal(3);
    });

    it('initializer may be async: no task begins before it has ended', async () => {
      const initializer = async (mark: string) => {
        await new Promise((resolve) => setTimeout(resolve, 20));
        (globalThis as Marked).mark = mark;
      };
      const pool = bench.pool({ maxWorkers: 1, initializer, initargs: ['after a while'] });
      const marks = await settled(Promise.all([pool.submit(getMark), pool.submit(getMark)]));
      expect(marks).to.deep.equal(['after a while', 'after a while']);
    });

    it('initializer may be a tagged function', async () => {
      const pool = bench.pool({ maxWorkers: 1, initializer: countCalls });
      expect(await settled(pool.submit(countCalls))).to.equal(2);
    });

    it('initializer that fails breaks the pool: pending and later tasks reject with its error as the cause', async () => {
      const pool = bench.pool({ maxWorkers: 2, initializer: fail });
      const futures = [1, 2, 3, 4, 5].map((i) => pool.submit(add, i, 1));
      const errors = await Promise.all(futures.map((future) => rejectionAs(future, BrokenPool)));
      expect(new Set(errors).size).to.equal(5);
      for (const error of errors) {
        expect(error).to.be.instanceOf(BrokenExecutor);
        const cause = instance(error.cause, TypeError);
        expect(cause.message).to.equal('error in the initializer');
      }
      const later = thrownBy(() => pool.submit(add, 1, 2), BrokenPool);
      expect(errors).not.to.include(later);
      thrownBy(() => pool.map(add, [1], [2]), BrokenPool);
      await settled(pool.join());
      expect(pool.stats()).to.include({ submitted: 5, failed: 5, queued: 0, running: 0 });
      await eventually(() => pool.stats().workers === 0, 'no worker of a broken pool');
    });

    it('initializer that rejects breaks the pool', async () => {
      const pool = bench.pool({
        maxWorkers: 1,
        initializer: async () => {
          await Promise.resolve();
          throw new RangeError('rejected');
        },
      });
      const error = await rejectionAs(pool.submit(add, 1, 2), BrokenPool);
      expect(error.cause).to.include({ name: 'RangeError', message: 'rejected' });
    });

    for (const [what, initializer] of Object.entries({
      'a Blob': () => {
        throw Object.assign(new RangeError('no licence'), { detail: new Blob(['apple']) });
      },
      'shared memory': () => {
        throw Object.assign(new RangeError('no licence'), { detail: new SharedArrayBuffer(8) });
      },
      'a function': () => {
        throw Object.assign(new RangeError('no licence'), { detail: () => 1 });
      },
    })) {
      it(`initializer that throws an error with ${what} in it breaks the pool, and the error is the cause`, async () => {
        const pool = bench.pool({ maxWorkers: 1, initializer });
        const { message, cause } = await rejectionAs(pool.submit(add, 1, 2), BrokenPool);
        expect(message).to.include('The initializer of the workers failed');
        expect(cause).to.include({ name: 'RangeError', message: 'no licence' });
      });
    }

    it('initializer that ends its worker breaks the pool', async () => {
      const pool = bench.pool({
        maxWorkers: 1,
        initializer: () => {
          process.exit(3);
        },
      });
      await rejectionAs(pool.submit(add, 1, 2), BrokenPool);
      thrownBy(() => pool.submit(add, 1, 2), BrokenPool);
    });

    it('initializer with an argument that cannot be cloned breaks the pool, and the error says which', async () => {
      const pool = bench.pool({ maxWorkers: 1, initializer: setMark, initargs: ['fine', { callback: () => 1 }] });
      const { cause } = await rejectionAs(pool.submit(add, 1, 2), BrokenPool);
      expect(cause).to.be.instanceOf(DOMException).and.to.include({ name: 'DataCloneError' });
      expect(String(cause)).to.match(
        /Argument 2 of the initializer \w+ cannot be cloned: its \.callback is the function/,
      );
    });

    it('initializer that fails lets shutdown(), join() and cancelled futures end', async () => {
      const pool = bench.pool({ maxWorkers: 1, initializer: fail });
      const cancelled = pool.submit(add, 1, 2);
      cancelled.cancel();
      await rejectionAs(pool.submit(add, 1, 2), BrokenPool);
      expect(cancelled.cancelled()).to.equal(true);
      await settled(pool.join());
      await settled(pool.shutdown());
    });

    it('initializer that is no function, or cannot be sent, throws a TypeError', () => {
      thrownBy(() => bench.pool({ initializer: 5 as unknown as () => void }), TypeError);
      thrownBy(() => bench.pool({ initializer: Math.abs }), TypeError);
    });
  });
}
