import FakeTimers from '@sinonjs/fake-timers';
import { expect } from 'chai';
import { Future } from '../../dist/future.js';
import { StreamReader } from '../../dist/pool/result-stream.js';
import type { Task } from '../../dist/pool/task.js';

describe('StreamReader: how far the generator may be ahead', () => {
  /** Items that the generator may still yield, as its worker was told. */
  let credit: number;
  /** Items that have come and were not read. */
  let there: number;
  /** The most that it may be ahead of the reader. */
  let ahead: number;
  let clock: ReturnType<typeof FakeTimers.install>;

  beforeEach(() => {
    credit = 1;
    there = 0;
    ahead = 0;
    clock = FakeTimers.install({ toFake: ['performance'] });
    clock.tick(1000);
  });
  afterEach(() => {
    clock.uninstall();
  });

  function makeReader(mark?: number): StreamReader {
    const { future } = Future.withResolvers<unknown>();
    const runner = {
      setResting: () => undefined,
      giveCredit: (_task: Task, items: number) => {
        credit += items;
      },
    };
    const task = { future, runner } as unknown as Task;
    return new StreamReader({ submit: () => task, hasRoom: () => true, ready: () => Promise.resolve() }, mark);
  }

  /** Reads items that the generator makes at once, as soon as it may; so many pass in a millisecond. */
  async function read(reader: StreamReader, count: number, inOneMs: number): Promise<void> {
    ahead = 0;
    for (let i = 0; i < count; i++) {
      const next = reader.next([], reader);
      if (there === 0) {
        expect(credit).to.be.above(0);
        there = credit;
        credit = 0;
        reader.receive(new Array<number>(there).fill(i));
      }
      await next;
      there--;
      clock.tick(1 / inOneMs);
      ahead = Math.max(ahead, there + credit);
    }
  }

  it('is 16 items at first, however fast they are', async () => {
    await read(makeReader(), 1000, 10_000);
    expect(ahead).to.equal(16);
  });

  it('is a millisecond’s worth of items that pass fast', async () => {
    const reader = makeReader();
    await read(reader, 5000, 400);
    await read(reader, 5000, 400);
    expect(ahead).to.be.within(380, 520);
  });

  it('is never more than 4,096 items', async () => {
    const reader = makeReader();
    await read(reader, 100_000, 10_000);
    expect(ahead).to.equal(4096);
  });

  it('is 16 items again when they pass slowly', async () => {
    const reader = makeReader();
    await read(reader, 10_000, 1000);
    expect(ahead).to.be.above(900);
    await read(reader, 2000, 0.5);
    await read(reader, 100, 0.5);
    expect(ahead).to.equal(16);
  });

  for (const mark of [0, 3, 100, 5000]) {
    it(`is ${String(mark)} when that was asked for`, async () => {
      const reader = makeReader(mark);
      await read(reader, 20_000, 10_000);
      expect(ahead).to.equal(mark);
    });
  }
});
