import { expect } from 'chai';
import { WorkerDiedError } from 'concurrent-futures';
import { numberBehindGate } from '../fixtures/values.js';
import { collectGarbage } from '../support/garbage.js';
import { passGateAsync } from '../support/gate.js';
import { type Capabilities, type MakeExecutor, useBench } from '../support/pool-under-test.js';
import { eventually, instance, rejectionAs, settled, turns } from '../support/watchdog.js';

/** A stream of the numbers below `count`, each made when it is asked for. */
const numbers = (count: number) => {
  let n = 0;
  return new ReadableStream<number>({
    pull(controller) {
      if (n === count) controller.close();
      else controller.enqueue(n++);
    },
  });
};

/** A stream of one item, after which it gives nothing and does not end. */
const stuck = () =>
  new ReadableStream<number>({
    start(controller) {
      controller.enqueue(0);
    },
  });

/** A stream that takes nothing. */
const blocked = () => new WritableStream<number>({ write: () => new Promise(() => undefined) });

async function itemsOf<T>(stream: ReadableStream<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of stream) items.push(item);
  return items;
}

/** Streams that tasks give, and the workers in which they were made. */
export function describeKeptStreams(name: string, makeExecutor: MakeExecutor, capabilities: Capabilities): void {
  describe(`${name}: streams as results`, () => {
    const bench = useBench(makeExecutor, capabilities);
    const expected = Array.from({ length: 40 }, (_, n) => n);

    it('a worker whose task gave a stream stays until that has been read, whatever idleTimeout says', async () => {
      const pool = bench.pool({ maxWorkers: 1, idleTimeout: 1 });
      const reader = (await settled(pool.submit(numbers, 40))).getReader();
      const items: unknown[] = [];
      for (;;) {
        const { done, value } = await settled(reader.read());
        if (done) break;
        items.push(value);
        await turns(1);
      }
      expect(items).to.deep.equal(expected);
      await eventually(() => pool.stats().workers === 0, 'the end of the worker');
    });

    it('a worker whose last task gave a stream stays until that has been read, and is replaced meanwhile', async () => {
      const pool = bench.pool({ maxWorkers: 1, maxTasksPerWorker: 1 });
      const stream = await settled(pool.submit(numbers, 40));
      expect(await settled(pool.submit(() => 1))).to.equal(1);
      expect(await settled(itemsOf(stream))).to.deep.equal(expected);
      await eventually(() => pool.stats().workers === 0, 'the end of the workers');
    });

    it('shutdown() does not wait for streams that nobody has read yet, and leaves their workers until they are', async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      const stream = await settled(pool.submit(numbers, 40));
      await settled(pool.shutdown());
      expect(await settled(itemsOf(stream))).to.deep.equal(expected);
      await eventually(() => pool.stats().workers === 0, 'the end of the worker');
    });

    it('shutdown() waits for tasks beside a stream, and ends the workers without one', async () => {
      const pool = bench.pool({ maxWorkers: 2, concurrentTasksPerWorker: 1 });
      const gate = bench.gate();
      const task = pool.submit(passGateAsync, gate.token);
      await gate.arrived();
      const stream = await settled(pool.submit(numbers, 40));
      const shutdown = pool.shutdown();
      gate.open();
      await settled(task);
      await settled(shutdown);
      expect(pool.stats().workers).to.equal(1);
      expect(await settled(itemsOf(stream))).to.deep.equal(expected);
    });

    it('resize() ends a worker whose task gave a stream when that has been read', async () => {
      const pool = bench.pool({ maxWorkers: 2, maxTasksPerWorker: 1 });
      const streams = [await settled(pool.submit(numbers, 40)), await settled(pool.submit(numbers, 40))];
      const shrunk = pool.resize({ maxWorkers: 1 });
      for (const stream of streams) expect(await settled(itemsOf(stream))).to.deep.equal(expected);
      await settled(shrunk);
    });

    it('a worker stays for the body of a Response, and of a Request', async () => {
      const pool = bench.pool({ maxWorkers: 2, maxTasksPerWorker: 1 });
      const response = await settled(pool.submit((size: number) => new Response('x'.repeat(size)), 500_000));
      const request = await settled(
        pool.submit(
          (size: number) => new Request('http://example.org/', { method: 'POST', body: 'x'.repeat(size) }),
          500_000,
        ),
      );
      for (const { length } of [await settled(response.text()), await settled(request.text())]) {
        expect(length).to.equal(500_000);
      }
      await eventually(() => pool.stats().workers === 0, 'the end of the workers');
    });

    it('a worker stays for a stream that is written here, until that is closed', async () => {
      const pool = bench.pool({ maxWorkers: 1, idleTimeout: 1 });
      const sink = (count: number) => {
        let written = 0;
        return new WritableStream<number>({
          write: () => {
            written++;
          },
          close: () => {
            if (written !== count) throw new Error(`only ${String(written)} were written`);
          },
        });
      };
      const writer = (await settled(pool.submit(sink, 40))).getWriter();
      for (const n of expected) {
        await settled(writer.write(n));
        await turns(1);
      }
      await settled(writer.close());
      await eventually(() => pool.stats().workers === 0, 'the end of the worker');
    });

    it('a worker stays for both halves of a TransformStream', async () => {
      const pool = bench.pool({ maxWorkers: 1, maxTasksPerWorker: 1 });
      const transform = await settled(pool.submit(() => new TransformStream<number, number>()));
      const { readable, writable } = instance(transform, TransformStream<number, number>);
      expect(await settled(pool.submit(() => 1))).to.equal(1);
      const writer = writable.getWriter();
      const items = itemsOf(readable);
      for (const n of expected) await settled(writer.write(n));
      await settled(writer.close());
      expect(await settled(items)).to.deep.equal(expected);
      await eventually(() => pool.stats().workers === 0, 'the end of the workers');
    });

    it('a worker goes when its stream is cancelled', async () => {
      const pool = bench.pool({ maxWorkers: 1, maxTasksPerWorker: 1 });
      const stream = await settled(pool.submit(stuck));
      expect(pool.stats().workers).to.equal(1);
      await settled(stream.cancel());
      await eventually(() => pool.stats().workers === 0, 'the end of the worker');
    });

    it('a worker goes when its stream was dropped, unread or read in part', async () => {
      const pool = bench.pool({ maxWorkers: 2, maxTasksPerWorker: 1 });
      await (async () => {
        await settled(pool.submit(stuck));
        const reader = (await settled(pool.submit(stuck))).getReader();
        expect(await settled(reader.read())).to.deep.equal({ done: false, value: 0 });
      })();
      for (let i = 0; i < 100 && pool.stats().workers > 0; i++) {
        await collectGarbage();
        await turns();
      }
      expect(pool.stats().workers).to.equal(0);
    });

    it('a stream that somebody waits for is not dropped, whatever is collected', async () => {
      const pool = bench.pool({ maxWorkers: 1, maxTasksPerWorker: 1 });
      const gate = bench.gate();
      const items = (async () => itemsOf(await pool.submit(numberBehindGate, gate.token)))();
      await gate.arrived();
      for (let i = 0; i < 3; i++) {
        await collectGarbage();
        await turns();
      }
      gate.open();
      expect(await settled(items)).to.deep.equal([7]);
    });

    it('terminateWorkers() fails the streams of the workers, those that are read and those that will be', async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      const reader = (await settled(pool.submit(stuck))).getReader();
      await settled(reader.read());
      const reading = rejectionAs(reader.read(), WorkerDiedError);
      const unread = await settled(pool.submit(stuck));
      const writer = (await settled(pool.submit(blocked))).getWriter();
      const writes = (async () => {
        for (;;) await writer.write(1);
      })();
      const writing = rejectionAs(writes, WorkerDiedError);
      const closed = rejectionAs(writer.closed, WorkerDiedError);
      await settled(pool.terminateWorkers());
      for (const end of [reading, writing, closed]) await end;
      const unreadReader = unread.getReader();
      await rejectionAs(unreadReader.closed, WorkerDiedError);
    });

    it('terminateWorkers() after shutdown() ends workers that stay for a stream', async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      const stream = await settled(pool.submit(stuck));
      await settled(pool.shutdown());
      expect(pool.stats().workers).to.equal(1);
      await settled(pool.terminateWorkers());
      expect(pool.stats().workers).to.equal(0);
      await rejectionAs(itemsOf(stream), WorkerDiedError);
    });

    it('the death of the worker fails its streams', async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      const reader = (await settled(pool.submit(stuck))).getReader();
      expect((await settled(reader.read())).value).to.equal(0);
      const reading = rejectionAs(reader.read(), WorkerDiedError);
      const died = rejectionAs(
        pool.submit(() => process.exit(3)),
        WorkerDiedError,
      );
      await reading;
      await died;
      expect(await settled(pool.submit(() => 1))).to.equal(1);
    });

    it('a stream that fails in the worker fails here, and lets the worker go', async () => {
      const pool = bench.pool({ maxWorkers: 1, maxTasksPerWorker: 1 });
      const stream = await settled(
        pool.submit(
          () =>
            new ReadableStream({
              pull(controller) {
                controller.error(new RangeError('mouldy'));
              },
            }),
        ),
      );
      expect((await rejectionAs(itemsOf(stream), RangeError)).message).to.equal('mouldy');
      await eventually(() => pool.stats().workers === 0, 'the end of the worker');
    });
  });
}
