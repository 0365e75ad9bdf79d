import { getEventListeners } from 'node:events';
import { expect } from 'chai';
import { asCompleted, Future, TimeoutError, type AsCompletedOptions } from 'concurrent-futures';
import fc from 'fast-check';
import { useFakeClock } from '../support/fake-clock.js';
import { cancelled, failed, pending, running, succeeded } from '../support/futures.js';
import { survivors } from '../support/garbage.js';
import { rejection, stateOf } from '../support/promises.js';

const END = { value: undefined, done: true };

/** The future that a call of next() gives, boxed: a bare one would be unwrapped by await. */
async function yielded(next: Promise<IteratorResult<Future<unknown>>>): Promise<{ future: Future<unknown> }> {
  const step = await next;
  if (step.done === true) throw new Error('the iteration has ended');
  return { future: step.value };
}

async function collect(futures: AsyncIterable<Future<unknown>>): Promise<Future<unknown>[]> {
  const all: Future<unknown>[] = [];
  // TypeScript takes what `for await` gives for awaited; it is not.
  for await (const future of futures) all.push(future as Future<unknown>);
  return all;
}

describe('asCompleted', () => {
  it('asCompleted yields the futures themselves, not their values', async () => {
    const futures = [succeeded(1).future, failed().future, cancelled().future];
    const iterator = asCompleted(futures);
    for (const expected of futures) {
      const { future } = await yielded(iterator.next());
      expect(future).to.be.instanceOf(Future);
      expect(future).to.equal(expected);
    }
    expect(await iterator.next()).to.deep.equal(END);
  });

  it('asCompleted yields those done already first, in their order, then the others as they end', async () => {
    const [a, b, c] = [pending(), pending(), pending()];
    const done = [succeeded(1).future, cancelled().future];
    const collecting = collect(asCompleted([a.future, ...done.slice(0, 1), b.future, ...done.slice(1), c.future]));
    c.setResult(1);
    a.future.cancel();
    b.setException(new Error('boom'));
    expect(await collecting).to.deep.equal([...done, c.future, a.future, b.future]);
    b.future.outcome();
  });

  it('asCompleted yields a future given several times once', async () => {
    const { future, setResult } = pending();
    const { future: done } = succeeded(1);
    const collecting = collect(asCompleted([future, done, future, done, future]));
    setResult(1);
    expect(await collecting).to.deep.equal([done, future]);
  });

  it('asCompleted ends at once for no futures', async () => {
    expect(await collect(asCompleted([]))).to.deep.equal([]);
    expect(await asCompleted([], { timeout: 0 }).next()).to.deep.equal(END);
  });

  it('asCompleted takes any iterable, and reads it at the call', async () => {
    let read = 0;
    const generate = function* () {
      for (const n of [1, 2]) {
        read++;
        yield succeeded(n).future;
      }
    };
    const iterator = asCompleted(generate());
    expect(read).to.equal(2);
    expect(await collect(iterator)).to.have.length(2);
  });

  it('asCompleted is its own iterator', () => {
    const iterator = asCompleted([]);
    expect(iterator[Symbol.asyncIterator]()).to.equal(iterator);
  });

  it('asCompleted stays done after its end', async () => {
    const iterator = asCompleted([succeeded(1).future]);
    await yielded(iterator.next());
    for (let i = 0; i < 3; i++) expect(await iterator.next()).to.deep.equal(END);
  });

  it('asCompleted serves concurrent calls of next() in their order, and ends those left over', async () => {
    const [a, b] = [pending(), pending()];
    const iterator = asCompleted([a.future, b.future]);
    const calls = [iterator.next(), iterator.next(), iterator.next(), iterator.next()] as const;
    b.setResult('b');
    a.setResult('a');
    expect((await yielded(calls[0])).future).to.equal(b.future);
    expect((await yielded(calls[1])).future).to.equal(a.future);
    expect(await calls[2]).to.deep.equal(END);
    expect(await calls[3]).to.deep.equal(END);
  });

  it('asCompleted yields what ends while nobody asks', async () => {
    const [a, b] = [pending(), pending()];
    const iterator = asCompleted([a.future, b.future]);
    b.setResult(1);
    a.setResult(1);
    expect(await collect(iterator)).to.deep.equal([b.future, a.future]);
  });

  describe('timeout', () => {
    const clock = useFakeClock();

    it('asCompleted delivers what is finished, then rejects once, then is done', async () => {
      const done = [cancelled().future, succeeded(1).future];
      const iterator = asCompleted([done[0], pending().future, running().future, done[1]] as Future<unknown>[], {
        timeout: 100,
      });
      clock().tick(100);
      expect((await yielded(iterator.next())).future).to.equal(done[0]);
      expect((await yielded(iterator.next())).future).to.equal(done[1]);
      const error = await rejection(iterator.next());
      expect(error).to.be.instanceOf(TimeoutError);
      expect((error as Error).message).to.equal('2 (of 4) futures unfinished');
      expect(await iterator.next()).to.deep.equal(END);
      expect(await iterator.next()).to.deep.equal(END);
    });

    it('asCompleted with a timeout of 0 delivers what is finished and does not wait', async () => {
      const seen: unknown[] = [];
      const futures = [cancelled().future, pending().future, running().future, succeeded(1).future];
      const reading = async () => {
        for await (const future of asCompleted(futures, { timeout: 0 })) seen.push(future);
      };
      expect(String(await rejection(reading()))).to.include('2 (of 4) futures unfinished');
      expect(seen).to.have.length(2);
      expect(clock().countTimers()).to.equal(0);
    });

    it('asCompleted counts the time from its call, not from next()', async () => {
      const iterator = asCompleted([pending().future], { timeout: 100 });
      clock().tick(100);
      expect(await rejection(iterator.next())).to.be.instanceOf(TimeoutError);
    });

    it('asCompleted rejects the first pending next() and ends the others', async () => {
      const iterator = asCompleted([pending().future], { timeout: 100 });
      const first = rejection(iterator.next());
      const second = iterator.next();
      clock().tick(100);
      expect(await first).to.be.instanceOf(TimeoutError);
      expect(await second).to.deep.equal(END);
    });

    it('asCompleted counts distinct futures in its message', async () => {
      const { future } = pending();
      const iterator = asCompleted([future, future, succeeded(1).future], { timeout: 0 });
      await yielded(iterator.next());
      expect(String(await rejection(iterator.next()))).to.include('1 (of 2) futures unfinished');
    });

    it('asCompleted does not reject when every future ended in time, however slowly they are read', async () => {
      const { future, setResult } = pending();
      const iterator = asCompleted([future, succeeded(1).future], { timeout: 100 });
      setResult(1);
      expect(clock().countTimers()).to.equal(0);
      clock().tick(1000);
      expect(await collect(iterator)).to.have.length(2);
    });

    for (const timeout of [undefined, Infinity, 2 ** 31]) {
      it(`asCompleted takes a timeout of ${String(timeout)} as none`, async () => {
        const { future, setResult } = pending();
        const next = asCompleted([future], { timeout }).next();
        expect(clock().countTimers()).to.equal(0);
        expect(await stateOf(next)).to.equal('pending');
        setResult(1);
        await next;
      });
    }

    it('asCompleted does not wait with a negative timeout', async () => {
      expect(await rejection(asCompleted([pending().future], { timeout: -1 }).next())).to.be.instanceOf(TimeoutError);
    });

    it('asCompleted leaves no timer behind when the loop is broken off', async () => {
      const iterator = asCompleted([pending().future, succeeded(1).future], { timeout: 100 });
      for await (const future of iterator) {
        expect(future).to.be.instanceOf(Future);
        break;
      }
      expect(clock().countTimers()).to.equal(0);
    });
  });

  describe('signal', () => {
    const reason = new Error('enough');

    it("asCompleted rejects once with the signal's reason, then is done", async () => {
      const controller = new AbortController();
      const iterator = asCompleted([pending().future, succeeded(1).future], { signal: controller.signal });
      await yielded(iterator.next());
      const next = rejection(iterator.next());
      controller.abort(reason);
      expect(await next).to.equal(reason);
      expect(await iterator.next()).to.deep.equal(END);
    });

    it('asCompleted rejects with the reason although finished futures were not read yet', async () => {
      const controller = new AbortController();
      const iterator = asCompleted([pending().future, succeeded(1).future], { signal: controller.signal });
      controller.abort(reason);
      expect(await rejection(iterator.next())).to.equal(reason);
      expect(await iterator.next()).to.deep.equal(END);
    });

    it('asCompleted rejects with the reason also when every future is finished and some were not read yet', async () => {
      const controller = new AbortController();
      const futures = [1, 2, 3].map((n) => succeeded(n).future);
      const iterator = asCompleted(futures, { signal: controller.signal });
      await yielded(iterator.next());
      controller.abort(reason);
      expect(await rejection(iterator.next())).to.equal(reason);
      expect(await iterator.next()).to.deep.equal(END);
    });

    it('asCompleted is done, and does not reject, when the signal is aborted after the last future was read', async () => {
      const controller = new AbortController();
      const iterator = asCompleted([succeeded(1).future], { signal: controller.signal });
      await yielded(iterator.next());
      controller.abort(reason);
      expect(await iterator.next()).to.deep.equal(END);
    });

    it('asCompleted rejects when the signal is aborted already', async () => {
      const signal = AbortSignal.abort(reason);
      expect(await rejection(asCompleted([pending().future], { signal }).next())).to.equal(reason);
      const iterator = asCompleted([succeeded(1).future], { signal });
      expect(await rejection(iterator.next())).to.equal(reason);
      expect(await iterator.next()).to.deep.equal(END);
    });

    it('asCompleted leaves no listener on the signal, however it ends', async () => {
      const { signal } = new AbortController();
      const listeners = () => getEventListeners(signal, 'abort').length;
      const { future, setResult } = pending();
      const iterator = asCompleted([future], { signal });
      expect(listeners()).to.equal(1);
      setResult(1);
      expect(listeners()).to.equal(0);
      await collect(iterator);

      const broken = asCompleted([pending().future], { signal });
      await broken.return?.();
      expect(listeners()).to.equal(0);

      await rejection(asCompleted([pending().future], { signal, timeout: 0 }).next());
      expect(listeners()).to.equal(0);
    });
  });

  describe('return', () => {
    it('asCompleted is done after return(), and what ends later is not yielded', async () => {
      const { future, setResult } = pending();
      const iterator = asCompleted([future, succeeded(1).future]);
      expect(await iterator.return?.()).to.deep.equal(END);
      setResult(1);
      expect(await iterator.next()).to.deep.equal(END);
    });

    it('asCompleted ends pending calls of next() at return()', async () => {
      const iterator = asCompleted([pending().future]);
      const calls = [iterator.next(), iterator.next()];
      await iterator.return?.();
      for (const call of calls) expect(await call).to.deep.equal(END);
    });

    it('asCompleted leaves nothing on long-lived futures when the loop is broken off', async () => {
      const { future } = running();
      const references: WeakRef<object>[] = [];
      for (let i = 0; i < 1000; i++) {
        const iterator = asCompleted([future, succeeded(i).future]);
        references.push(new WeakRef(iterator));
        for await (const done of iterator) {
          expect(done).to.be.instanceOf(Future);
          break;
        }
      }
      expect(await survivors(references)).to.be.lessThan(5);
      expect(future.done()).to.equal(false);
    });
  });

  it('asCompleted does not hold on to futures that it has yielded', async () => {
    const references: WeakRef<object>[] = [];
    const make = (count: number) =>
      Array.from({ length: count }, (_, i) => {
        const { future } = succeeded({ i });
        references.push(new WeakRef(future));
        return future;
      });
    const { future: open, setResult } = pending();
    const iterator = asCompleted([open, ...make(100)]);
    for (let i = 0; i < 100; i++) await yielded(iterator.next());
    expect(await survivors(references)).to.be.lessThan(5);
    setResult(1);
    expect((await yielded(iterator.next())).future).to.equal(open);
  });

  describe('arguments', () => {
    const call = (futures: unknown, options?: unknown) => () =>
      asCompleted(futures as Future<unknown>[], options as AsCompletedOptions);

    it('asCompleted throws a TypeError at the call for what is no iterable of futures', () => {
      for (const futures of [undefined, null, 5, {}, pending().future, [1], [Promise.resolve()]]) {
        expect(call(futures)).to.throw(TypeError);
      }
    });

    it('asCompleted throws at the call for a timeout or a signal that is none', () => {
      expect(call([], { timeout: NaN })).to.throw(RangeError);
      expect(call([], { timeout: '5' })).to.throw(TypeError);
      expect(call([], { signal: {} })).to.throw(TypeError);
      expect(call([pending().future], { signal: {} })).to.throw(TypeError);
      expect(call([], null)).to.throw(TypeError);
    });

    it('asCompleted reads its own options only, whatever Object.prototype holds', async () => {
      const polluted = Object.prototype as { timeout?: unknown; signal?: unknown };
      const { future, setResult } = pending();
      let next: Promise<unknown>;
      try {
        Object.assign(polluted, { timeout: 0, signal: AbortSignal.abort() });
        next = asCompleted([future], {}).next();
        expect(await stateOf(next)).to.equal('pending');
      } finally {
        delete polluted.timeout;
        delete polluted.signal;
      }
      setResult(1);
      await next;
    });
  });

  it('asCompleted yields each distinct future once: first those done, then the others in the order of their end', async () => {
    const scenario = fc
      .array(fc.record({ before: fc.boolean(), copies: fc.integer({ min: 1, max: 3 }), rank: fc.nat() }), {
        maxLength: 20,
      })
      .chain((plan) => fc.record({ plan: fc.constant(plan), asks: fc.array(fc.boolean(), { maxLength: 40 }) }));
    await fc.assert(
      fc.asyncProperty(scenario, async ({ plan, asks }) => {
        const made = plan.map((entry) => ({ ...entry, ...pending() }));
        const input = made.flatMap(({ future, copies }) => Array.from({ length: copies }, () => future));
        const first = made.filter(({ before }) => before);
        const later = made.filter(({ before }) => !before).sort((a, b) => a.rank - b.rank);
        for (const { setResult } of first) setResult(1);

        const iterator = asCompleted(input);
        const calls: Promise<IteratorResult<Future<unknown>>>[] = [];
        const toEnd = [...later];
        // Calls of next() and ends of futures in any interleaving; then the rest of both.
        for (const ask of asks) {
          if (ask) calls.push(iterator.next());
          else toEnd.shift()?.setResult(1);
        }
        for (const { setResult } of toEnd) setResult(1);
        while (calls.length < made.length + 2) calls.push(iterator.next());

        const steps = await Promise.all(calls);
        const expected = [...first, ...later].map(({ future }) => future);
        const got = steps.filter((step) => step.done !== true).map((step) => step.value);
        expect(got.length).to.equal(expected.length);
        expect(got.every((future, i) => future === expected[i])).to.equal(true);
        expect(steps.slice(expected.length).every((step) => step.done === true)).to.equal(true);
      }),
    );
  });
});
