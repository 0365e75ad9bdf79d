import { AsyncLocalStorage } from 'node:async_hooks';
import { expect } from 'chai';
import { asCompleted, type Future } from 'concurrent-futures';
import { type Capabilities, type MakeExecutor, useBench } from '../support/pool-under-test.js';
import { settled } from '../support/watchdog.js';

const identity = (x: number) => x;

/** Which async context code runs in. */
export function describeContext(name: string, makeExecutor: MakeExecutor, capabilities: Capabilities): void {
  describe(`${name}: async context`, () => {
    const bench = useBench(makeExecutor, capabilities);
    const storage = new AsyncLocalStorage<string>();

    it('done callbacks run in the context of the code that added them, before and after the end', async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      const seen: unknown[] = [];
      const future = storage.run('submit', () => pool.submit(identity, 1));
      const noted = (context: string) =>
        new Promise<void>((resolve) => {
          storage.run(context, () => {
            future.addDoneCallback(() => {
              seen.push(storage.getStore());
              resolve();
            });
          });
        });
      const early = [noted('one'), noted('two')];
      const outside = new Promise<void>((resolve) => {
        future.addDoneCallback(() => {
          seen.push(storage.getStore());
          resolve();
        });
      });
      await settled(Promise.all([...early, outside]));
      await settled(noted('late'));
      expect(seen).to.deep.equal(['one', 'two', undefined, 'late']);
    });

    it('await, then, and the loops over map, stream and asCompleted go on in their own context', async () => {
      const pool = bench.pool({ maxWorkers: 2 });
      const inContext = async () => {
        const seen = new Set<unknown>();
        const note = () => seen.add(storage.getStore());
        await pool.submit(identity, 1);
        note();
        await pool.submit(identity, 1).then(note);
        for await (const item of pool.map(identity, [1, 2, 3, 4], { buffersize: 1 })) {
          note();
          expect(item).to.be.a('number');
        }
        await pool.map(identity, [1, 2, 3]).then(note);
        for await (const item of pool.stream(function* () {
          for (let i = 0; i < 40; i++) yield i;
        })) {
          note();
          expect(item).to.be.a('number');
        }
        for await (const future of asCompleted([pool.submit(identity, 1), pool.submit(identity, 2)])) {
          note();
          expect((future as unknown as Future<number>).done()).to.equal(true);
        }
        return [...seen];
      };
      const contexts = ['a', 'b', 'c', 'd'];
      const seen = await settled(Promise.all(contexts.map((context) => storage.run(context, inContext))));
      expect(seen).to.deep.equal(contexts.map((context) => [context]));
    });

    it('the input of map is read, and its progress told, in the context of its caller or of its reader', async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      const seen: Record<string, Set<unknown>> = { sync: new Set(), async: new Set(), progress: new Set() };
      const sync = function* () {
        for (let i = 0; i < 10; i++) {
          seen['sync']?.add(storage.getStore());
          yield i;
        }
      };
      const async = async function* () {
        for (let i = 0; i < 10; i++) {
          await Promise.resolve();
          seen['async']?.add(storage.getStore());
          yield i;
        }
      };
      const onProgress = () => seen['progress']?.add(storage.getStore());
      const results = storage.run('map', () => [
        pool.map(identity, sync(), { buffersize: 2, onProgress }),
        pool.map(identity, async(), { buffersize: 2, onProgress }),
      ]);
      await storage.run('read', async () => {
        for (const result of results) for await (const item of result) expect(item).to.be.a('number');
      });
      // What is read while somebody waits for an item is read for that reader.
      for (const stores of Object.values(seen)) for (const store of stores) expect(store).to.be.oneOf(['map', 'read']);
      for (const stores of [seen['sync'], seen['async']]) expect([...(stores ?? [])][0]).to.equal('map');
    });
  });
}
