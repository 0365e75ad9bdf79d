import { expect } from 'chai';
import { ThreadPoolExecutor, WorkerDiedError } from 'concurrent-futures';
import { describeBehaviour } from './behaviour/index.js';
import { add, whoAmI } from './fixtures/tasks.js';
import { capabilities, makeExecutor } from './support/thread-pool.js';
import { rejectionAs, settled, thrownBy } from './support/watchdog.js';

describeBehaviour('ThreadPoolExecutor', makeExecutor, capabilities);

describe('ThreadPoolExecutor: threads', () => {
  let pool: ThreadPoolExecutor | undefined;
  const use = (made: ThreadPoolExecutor): ThreadPoolExecutor => (pool = made);

  afterEach(async () => {
    await settled(pool?.terminateWorkers() ?? Promise.resolve());
    pool = undefined;
  });

  it('new ThreadPoolExecutor() takes the number of workers first, or options only', async () => {
    for (const made of [
      new ThreadPoolExecutor(),
      new ThreadPoolExecutor(2),
      new ThreadPoolExecutor(2, { threadNamePrefix: 'named' }),
      new ThreadPoolExecutor({ maxWorkers: 2 }),
      new ThreadPoolExecutor(undefined, { maxWorkers: 2 }),
    ]) {
      expect(await settled(made.submit(add, 1, 2))).to.equal(3);
      await settled(made.shutdown());
    }
  });

  it('new ThreadPoolExecutor() refuses a number of workers that is none', () => {
    for (const number of [0, -1, 1.5, NaN]) {
      expect(thrownBy(() => new ThreadPoolExecutor(number), RangeError).message).to.include('maxWorkers');
    }
    thrownBy(() => new ThreadPoolExecutor('2' as unknown as number), TypeError);
  });

  it('worker names are ThreadPoolExecutor-<n>_<n> by default', async () => {
    const { worker } = await settled(use(new ThreadPoolExecutor(1)).submit(whoAmI));
    expect(worker).to.match(/^ThreadPoolExecutor-\d+_\d+$/);
  });

  it('a SharedArrayBuffer is shared, not copied', async () => {
    const words = new Int32Array(new SharedArrayBuffer(4));
    await settled(use(new ThreadPoolExecutor(1)).submit((given: Int32Array) => Atomics.store(given, 0, 42), words));
    expect(words[0]).to.equal(42);
  });

  it('with({ transfer }) moves what it lists', async () => {
    const bytes = new Uint8Array([1, 2, 3]);
    const sum = use(new ThreadPoolExecutor(1))
      .with({ transfer: [bytes.buffer] })
      .submit((given: Uint8Array) => given.reduce((a, b) => a + b), bytes);
    expect(await settled(sum)).to.equal(6);
    expect(bytes.length).to.equal(0);
  });

  it('tasks that move something are begun behind tasks that end in any way', async () => {
    const moving = use(new ThreadPoolExecutor(1));
    const text = () => 'text';
    const fail = (): never => {
      throw new Error('fails');
    };
    for (let i = 0; i < 2000; i++) {
      const before = i % 2 === 0 ? moving.submit(text) : moving.submit(fail);
      const buffer = new ArrayBuffer(8);
      const moved = moving.with({ transfer: [buffer] }).submit((given: ArrayBuffer) => given.byteLength, buffer);
      await settled(before.exception());
      expect(await settled(moved)).to.equal(8);
    }
  });

  it('a worker that runs out of memory fails its task with a WorkerDiedError that says so', async () => {
    const small = use(new ThreadPoolExecutor(1, { workerOptions: { resourceLimits: { maxOldGenerationSizeMb: 24 } } }));
    const future = small.submit(() => {
      const hoard: unknown[] = [];
      for (;;) hoard.push(new Array(1000).fill(hoard.length));
    });
    const error = await rejectionAs(future, WorkerDiedError);
    expect(error.cause).to.include({ code: 'ERR_WORKER_OUT_OF_MEMORY' });
    expect(await settled(small.submit(add, 1, 2))).to.equal(3);
  });
});
