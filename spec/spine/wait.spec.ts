import { getEventListeners } from 'node:events';
import { expect } from 'chai';
import {
  ALL_COMPLETED,
  FIRST_COMPLETED,
  FIRST_EXCEPTION,
  wait,
  type Future,
  type WaitOptions,
} from 'concurrent-futures';
import { useFakeClock } from '../support/fake-clock.js';
import { cancelled, failed, pending, running, succeeded } from '../support/futures.js';
import { survivors } from '../support/garbage.js';
import { flushMicrotasks, rejection, stateOf } from '../support/promises.js';

type Futures = Future<unknown>[];

/** Compares two sets of futures by identity; the message shows which are missing. */
function expectSets(result: { done: Set<unknown>; notDone: Set<unknown> }, done: Futures, notDone: Futures): void {
  expect([...result.done]).to.have.members(done);
  expect([...result.notDone]).to.have.members(notDone);
}

describe('wait', () => {
  describe('ALL_COMPLETED', () => {
    it('wait resolves at once when every future is done', async () => {
      const futures = [cancelled().future, failed().future, succeeded(1).future];
      expectSets(await wait(futures), futures, []);
    });

    it('wait resolves when the last future is done', async () => {
      const a = running();
      const b = pending();
      const waiting = wait([succeeded(1).future, a.future, b.future], { returnWhen: ALL_COMPLETED });
      a.setResult(1);
      expect(await stateOf(waiting)).to.equal('pending');
      b.setException(new Error('boom'));
      const { done, notDone } = await waiting;
      expect(done.size).to.equal(3);
      expect(notDone.size).to.equal(0);
      b.future.outcome();
    });

    it('wait counts a cancellation as done', async () => {
      const { future } = pending();
      const waiting = wait([future]);
      future.cancel();
      expectSets(await waiting, [future], []);
    });

    it('wait counts a future given twice once', async () => {
      const { future, setResult } = pending();
      const waiting = wait([future, future]);
      setResult(1);
      expectSets(await waiting, [future], []);
    });

    it('wait resolves at once for no futures', async () => {
      expectSets(await wait([]), [], []);
      expectSets(await wait([], { returnWhen: FIRST_COMPLETED }), [], []);
    });

    it('wait takes any iterable', async () => {
      const { future } = succeeded(1);
      expect((await wait(new Set([future]))).done.size).to.equal(1);
      const generate = function* () {
        yield future;
      };
      expect((await wait(generate())).done.size).to.equal(1);
    });

    it('wait keeps the order of its input in both sets', async () => {
      const futures = [succeeded(1), pending(), cancelled(), pending()].map(({ future }) => future);
      const { done, notDone } = await wait(futures, { timeout: 0 });
      expect([...done]).to.deep.equal([futures[0], futures[2]]);
      expect([...notDone]).to.deep.equal([futures[1], futures[3]]);
    });
  });

  describe('FIRST_COMPLETED', () => {
    it('wait resolves with the first future that is done', async () => {
      const a = pending();
      const b = pending();
      const waiting = wait([a.future, b.future], { returnWhen: FIRST_COMPLETED });
      expect(await stateOf(waiting)).to.equal('pending');
      b.setResult(1);
      expectSets(await waiting, [b.future], [a.future]);
    });

    it('wait resolves at once with all those done already', async () => {
      const { future: open } = pending();
      const done = [cancelled().future, succeeded(1).future];
      expectSets(await wait([...done, open], { returnWhen: FIRST_COMPLETED }), done, [open]);
    });

    it('wait takes a cancellation for a completion', async () => {
      const a = pending();
      const b = pending();
      const waiting = wait([a.future, b.future], { returnWhen: FIRST_COMPLETED });
      a.future.cancel();
      expectSets(await waiting, [a.future], [b.future]);
    });
  });

  describe('FIRST_EXCEPTION', () => {
    it('wait resolves with the first failure', async () => {
      const a = pending();
      const b = pending();
      const c = pending();
      const waiting = wait([a.future, b.future, c.future], { returnWhen: FIRST_EXCEPTION });
      a.setResult(42);
      expect(await stateOf(waiting)).to.equal('pending');
      b.setException(new Error('boom'));
      expectSets(await waiting, [a.future, b.future], [c.future]);
      b.future.outcome();
    });

    it('wait ignores cancelled futures, those cancelled before and those cancelled meanwhile', async () => {
      const before = cancelled();
      const meanwhile = pending();
      const last = pending();
      const waiting = wait([before.future, meanwhile.future, last.future], { returnWhen: FIRST_EXCEPTION });
      expect(await stateOf(waiting)).to.equal('pending');
      meanwhile.future.cancel();
      expect(await stateOf(waiting)).to.equal('pending');
      last.setResult(1);
      expectSets(await waiting, [before.future, meanwhile.future, last.future], []);
    });

    it('wait resolves at once when one has failed already', async () => {
      const done = [succeeded(1).future, cancelled().future, failed().future];
      const { future: open } = pending();
      expectSets(await wait([...done, open], { returnWhen: FIRST_EXCEPTION }), done, [open]);
    });

    it('wait takes a falsy error for a failure', async () => {
      const { future: open } = pending();
      const { future: bad } = failed(undefined);
      expectSets(await wait([bad, open], { returnWhen: FIRST_EXCEPTION }), [bad], [open]);
    });

    it('wait resolves when all are done and none has failed', async () => {
      const { future, setResult } = pending();
      const waiting = wait([future], { returnWhen: FIRST_EXCEPTION });
      setResult(1);
      expectSets(await waiting, [future], []);
    });
  });

  describe('timeout', () => {
    const clock = useFakeClock();

    it('wait resolves, and does not reject, when the time passes', async () => {
      const done = [cancelled().future, failed().future, succeeded(1).future];
      const { future: open } = running();
      const waiting = wait([...done, open], { timeout: 50 });
      clock().tick(49);
      expect(await stateOf(waiting)).to.equal('pending');
      clock().tick(1);
      expectSets(await waiting, done, [open]);
    });

    it('wait with a timeout of 0 looks and does not wait', async () => {
      const { future: open } = pending();
      const { future: done } = succeeded(1);
      expectSets(await wait([open, done], { timeout: 0 }), [done], [open]);
      expectSets(await wait([open, done], { timeout: -5 }), [done], [open]);
      expect(clock().countTimers()).to.equal(0);
    });

    for (const timeout of [undefined, Infinity, 2 ** 31, Number.MAX_VALUE]) {
      it(`wait takes a timeout of ${String(timeout)} as none`, async () => {
        const { future, setResult } = pending();
        const waiting = wait([future], { timeout });
        expect(clock().countTimers()).to.equal(0);
        expect(await stateOf(waiting)).to.equal('pending');
        setResult(1);
        expectSets(await waiting, [future], []);
      });
    }

    it('wait leaves no timer behind when the futures are done first', async () => {
      const { future, setResult } = pending();
      const waiting = wait([future], { timeout: 1000 });
      expect(clock().countTimers()).to.equal(1);
      setResult(1);
      expect(clock().countTimers()).to.equal(0);
      await waiting;
    });

    it('wait leaves nothing on a long-lived future when the time has passed', async () => {
      const { future } = running();
      const references: WeakRef<object>[] = [];
      for (let i = 0; i < 10_000; i++) {
        const other = pending().future;
        references.push(new WeakRef(other));
        const waiting = wait([future, other], { timeout: 10 });
        clock().tick(10);
        await waiting;
      }
      expect(await survivors(references)).to.be.lessThan(5);
      expect(future.done()).to.equal(false);
    });
  });

  it('wait leaves nothing on a long-lived future when another one was enough', async () => {
    const { future } = running();
    const references: WeakRef<object>[] = [];
    for (let i = 0; i < 1000; i++) {
      const other = pending();
      references.push(new WeakRef(other.future));
      const waiting = wait([future, other.future], { returnWhen: FIRST_COMPLETED });
      other.setResult(i);
      await waiting;
    }
    expect(await survivors(references)).to.be.lessThan(5);
    expect(future.done()).to.equal(false);
  });

  describe('signal', () => {
    it("wait rejects with the signal's reason when it is aborted", async () => {
      const controller = new AbortController();
      const { future } = pending();
      const waiting = rejection(wait([future], { signal: controller.signal }));
      const reason = new Error('enough');
      controller.abort(reason);
      expect(await waiting).to.equal(reason);
      expect(future.done()).to.equal(false);
    });

    it('wait rejects when the signal is aborted already, even with every future done', async () => {
      const reason = new Error('enough');
      const signal = AbortSignal.abort(reason);
      expect(await rejection(wait([pending().future], { signal }))).to.equal(reason);
      expect(await rejection(wait([succeeded(1).future], { signal }))).to.equal(reason);
    });

    it('wait passes a falsy reason on', async () => {
      const controller = new AbortController();
      const waiting = rejection(wait([pending().future], { signal: controller.signal }));
      controller.abort(null);
      expect(await waiting).to.equal(null);
    });

    it('wait leaves no listener on the signal, however it ends', async () => {
      const { signal } = new AbortController();
      const { future, setResult } = pending();
      const waiting = wait([future], { signal });
      expect(getEventListeners(signal, 'abort')).to.have.length(1);
      setResult(1);
      await waiting;
      await wait([pending().future], { signal, timeout: 1 });
      await wait([future], { signal });
      expect(getEventListeners(signal, 'abort')).to.have.length(0);
    });

    it('wait leaves nothing on a long-lived future when it is aborted', async () => {
      const { future } = running();
      const references: WeakRef<object>[] = [];
      for (let i = 0; i < 1000; i++) {
        const other = pending().future;
        references.push(new WeakRef(other));
        const controller = new AbortController();
        const waiting = rejection(wait([future, other], { signal: controller.signal }));
        controller.abort();
        await waiting;
      }
      expect(await survivors(references)).to.be.lessThan(5);
      expect(future.done()).to.equal(false);
    });
  });

  describe('arguments', () => {
    const refused = (futures: unknown, options?: unknown) =>
      rejection(() => wait(futures as Futures, options as WaitOptions));

    it('wait refuses an unknown returnWhen with a RangeError', async () => {
      for (const returnWhen of ['SOME_COMPLETED', '', 1, null, Symbol('s'), Object.create(null) as unknown]) {
        expect(await refused([], { returnWhen })).to.be.instanceOf(RangeError);
      }
    });

    it('wait refuses what is no iterable of futures with a TypeError', async () => {
      for (const futures of [undefined, null, 5, {}, pending().future, [1], [Promise.resolve()], [undefined]]) {
        expect(await refused(futures)).to.be.instanceOf(TypeError);
      }
    });

    it('wait names the position of what is no future', async () => {
      const { future } = pending();
      expect(String(await refused([future, future, 'x'])))
        .to.include('position 2')
        .and.include('"x"');
    });

    it('wait refuses a timeout that is no number, and NaN', async () => {
      expect(await refused([], { timeout: '5' })).to.be.instanceOf(TypeError);
      expect(await refused([], { timeout: null })).to.be.instanceOf(TypeError);
      expect(await refused([], { timeout: NaN })).to.be.instanceOf(RangeError);
    });

    it('wait refuses a signal that is none, whether or not there is something to wait for', async () => {
      expect(await refused([], { signal: {} })).to.be.instanceOf(TypeError);
      expect(await refused([pending().future], { signal: 'abort' })).to.be.instanceOf(TypeError);
    });

    it('wait refuses options that are no object', async () => {
      expect(await refused([], 5)).to.be.instanceOf(TypeError);
      expect(await refused([], null)).to.be.instanceOf(TypeError);
    });

    it('wait reads its own options only, whatever Object.prototype holds', async () => {
      const polluted = Object.prototype as { timeout?: unknown; returnWhen?: unknown; signal?: unknown };
      const { future, setResult } = pending();
      let waiting: Promise<unknown>;
      try {
        Object.assign(polluted, { timeout: 0, returnWhen: 'NONSENSE', signal: AbortSignal.abort() });
        waiting = wait([future], {});
        expect(await stateOf(waiting)).to.equal('pending');
      } finally {
        delete polluted.timeout;
        delete polluted.returnWhen;
        delete polluted.signal;
      }
      setResult(1);
      await waiting;
    });

    it('wait does not read or change the options object later on', async () => {
      const options: WaitOptions = Object.freeze({ returnWhen: FIRST_COMPLETED });
      const { future, setResult } = pending();
      const waiting = wait([future, pending().future], options);
      setResult(1);
      expect((await waiting).done.size).to.equal(1);
    });
  });

  it('wait serves several waits on one future', async () => {
    const { future, setResult } = pending();
    const other = pending().future;
    const waits = [wait([future]), wait([future, other], { returnWhen: FIRST_COMPLETED }), wait([future, other])];
    setResult(1);
    await flushMicrotasks();
    expect(await Promise.all(waits.map((waiting) => stateOf(waiting)))).to.deep.equal([
      'fulfilled',
      'fulfilled',
      'pending',
    ]);
  });
});
