import { AsyncLocalStorage } from 'node:async_hooks';
import { inspect } from 'node:util';
import { expect } from 'chai';
import { CancelledError, Future, InvalidStateError, TimeoutError } from 'concurrent-futures';
import * as internals from '../../dist/future.js';
import { consoleErrors } from '../support/console.js';
import { useFakeClock } from '../support/fake-clock.js';
import { cancelled, failed, inEveryState, pending, running, succeeded } from '../support/futures.js';
import { survivors } from '../support/garbage.js';
import { flushMicrotasks, rejection, stateOf } from '../support/promises.js';

interface Source {
  begun(): boolean;
  withdraw(): boolean;
  describe(): { name: string; site(): string };
}

// The friend access of the pool is left out of the published types.
const { createFuture, succeed, fail, markCancelled, markRunning } = internals as unknown as {
  createFuture: <T>(source: Source) => Future<T>;
  succeed: (future: Future<unknown>, value: unknown) => void;
  fail: (future: Future<unknown>, error: unknown) => void;
  markCancelled: (future: Future<unknown>) => void;
  markRunning: (future: Future<unknown>) => void;
};

const STATES = ['pending', 'running', 'cancelled', 'failed', 'succeeded'] as const;

describe('Future', () => {
  describe('states', () => {
    const expected = {
      pending: { done: false, running: false, cancelled: false },
      running: { done: false, running: true, cancelled: false },
      cancelled: { done: true, running: false, cancelled: true },
      failed: { done: true, running: false, cancelled: false },
      succeeded: { done: true, running: false, cancelled: false },
    };
    for (const state of STATES) {
      it(`Future.done, running and cancelled are right for a ${state} future`, () => {
        const { future } = inEveryState()[state];
        expect({ done: future.done(), running: future.running(), cancelled: future.cancelled() }).to.deep.equal(
          expected[state],
        );
      });
    }
  });

  describe('cancel', () => {
    it('Future.cancel cancels a pending future', () => {
      const { future } = pending();
      expect(future.cancel()).to.equal(true);
      expect(future.cancelled()).to.equal(true);
    });

    it('Future.cancel returns false once the task is running', () => {
      const { future } = running();
      expect(future.cancel()).to.equal(false);
      expect(future.running()).to.equal(true);
    });

    it('Future.cancel returns true for a future cancelled earlier', () => {
      const { future } = cancelled();
      expect(future.cancel()).to.equal(true);
      expect(future.cancelled()).to.equal(true);
    });

    it('Future.cancel returns false once the future is finished, and changes nothing', async () => {
      const { failed: bad, succeeded: good } = inEveryState();
      expect(bad.future.cancel()).to.equal(false);
      expect(good.future.cancel()).to.equal(false);
      expect(await good.future).to.equal(42);
      expect(bad.future.outcome()?.status).to.equal('rejected');
    });

    it('Future.cancel settles at once: the callbacks have run when it returns', () => {
      const { future } = pending();
      const seen: boolean[] = [];
      future.addDoneCallback((f) => seen.push(f.cancelled()));
      future.cancel();
      expect(seen).to.deep.equal([true]);
    });

    it('Future.cancel rejects who waits already', async () => {
      const { future } = pending();
      const results = [rejection(future.result()), rejection(future.exception()), rejection(future.result(1000))];
      future.cancel();
      for (const error of await Promise.all(results)) expect(error).to.be.instanceOf(CancelledError);
    });

    it('Future.cancel runs the callbacks once, however often it is called', () => {
      const { future } = pending();
      let calls = 0;
      future.addDoneCallback(() => calls++);
      future.cancel();
      future.cancel();
      expect(calls).to.equal(1);
    });
  });

  describe('result', () => {
    it('Future.result resolves with the value', async () => {
      expect(await succeeded('value').future.result()).to.equal('value');
    });

    it('Future.result resolves when the value comes later', async () => {
      const { future, setResult } = running<number>();
      const result = future.result();
      expect(await stateOf(result)).to.equal('pending');
      setResult(7);
      expect(await result).to.equal(7);
    });

    it('Future.result rejects with the very error that was set', async () => {
      const error = new RangeError('mine');
      expect(await rejection(failed(error).future.result())).to.equal(error);
    });

    it('Future.result rejects with CancelledError when cancelled, the same one each time', async () => {
      const { future } = cancelled();
      const first = await rejection(future.result());
      expect(first).to.be.instanceOf(CancelledError);
      expect(await rejection(future.result())).to.equal(first);
      expect(future.outcome()).to.deep.equal({ status: 'rejected', reason: first });
    });

    for (const value of [undefined, null, 0, '', false, NaN]) {
      it(`Future.result resolves with a falsy value: ${inspect(value)}`, async () => {
        const { future } = succeeded(value);
        expect(await future.result()).to.deep.equal(value);
        expect(await future.result(0)).to.deep.equal(value);
      });
    }
  });

  describe('result(0)', () => {
    it('Future.result rejects with TimeoutError for a pending and a running future', async () => {
      expect(await rejection(pending().future.result(0))).to.be.instanceOf(TimeoutError);
      expect(await rejection(running().future.result(0))).to.be.instanceOf(TimeoutError);
    });

    it('Future.result gives what the future ended with', async () => {
      const error = new Error('boom');
      expect(await rejection(cancelled().future.result(0))).to.be.instanceOf(CancelledError);
      expect(await rejection(failed(error).future.result(0))).to.equal(error);
      expect(await succeeded(42).future.result(0)).to.equal(42);
    });

    it('Future.exception does the same', async () => {
      const error = new Error('boom');
      expect(await rejection(pending().future.exception(0))).to.be.instanceOf(TimeoutError);
      expect(await rejection(running().future.exception(0))).to.be.instanceOf(TimeoutError);
      expect(await rejection(cancelled().future.exception(0))).to.be.instanceOf(CancelledError);
      expect(await failed(error).future.exception(0)).to.equal(error);
      expect(await succeeded(42).future.exception(0)).to.equal(undefined);
    });
  });

  describe('timeouts', () => {
    const clock = useFakeClock();

    it('Future.result rejects with TimeoutError when the time passes first; the task goes on', async () => {
      const { future, setResult } = running<number>();
      const late = rejection(future.result(100));
      clock().tick(99);
      expect(await stateOf(late)).to.equal('pending');
      clock().tick(1);
      const error = await late;
      expect(error).to.be.instanceOf(TimeoutError);
      expect((error as Error).message)
        .to.include('running')
        .and.include('100 ms');
      expect(future.running()).to.equal(true);
      setResult(1);
      expect(await future).to.equal(1);
    });

    it('Future.result leaves no timer behind when the value comes first', async () => {
      const { future, setResult } = pending<number>();
      const result = future.result(100);
      expect(clock().countTimers()).to.equal(1);
      setResult(1);
      expect(clock().countTimers()).to.equal(0);
      expect(await result).to.equal(1);
    });

    it('Future.exception gives the error that comes within the time', async () => {
      const { future, setException } = pending<number>();
      const exception = future.exception(100);
      const error = new Error('boom');
      clock().tick(50);
      setException(error);
      expect(await exception).to.equal(error);
      expect(clock().countTimers()).to.equal(0);
    });

    it("Future.exception gives a TimeoutError of the task's own as a value", async () => {
      const { future, setException } = pending<number>();
      const exception = future.exception(100);
      const error = new TimeoutError('the task itself ran out of time');
      setException(error);
      expect(await exception).to.equal(error);
    });

    it("Future.exception gives a CancelledError of the task's own as a value", async () => {
      const error = new CancelledError('something else was cancelled');
      expect(await failed(error).future.exception()).to.equal(error);
    });

    for (const timeout of [Infinity, 2 ** 31, Number.MAX_VALUE]) {
      it(`Future.result takes a timeout of ${String(timeout)} as none`, async () => {
        const { future, setResult } = pending<number>();
        const result = future.result(timeout);
        expect(clock().countTimers()).to.equal(0);
        expect(await stateOf(result)).to.equal('pending');
        setResult(1);
        expect(await result).to.equal(1);
      });
    }

    it('Future.result holds the longest time that timers can', async () => {
      const late = rejection(pending().future.result(2 ** 31 - 1));
      clock().tick(2 ** 31 - 2);
      expect(await stateOf(late)).to.equal('pending');
      clock().tick(1);
      expect(await late).to.be.instanceOf(TimeoutError);
    });

    for (const timeout of [-1, -Infinity, -0]) {
      it(`Future.result does not wait with a timeout of ${inspect(timeout)}`, async () => {
        expect(await rejection(pending().future.result(timeout))).to.be.instanceOf(TimeoutError);
        expect(await succeeded(1).future.result(timeout)).to.equal(1);
      });
    }

    it('Future.result refuses NaN with a RangeError and other kinds with a TypeError', async () => {
      const { future } = pending();
      expect(await rejection(() => future.result(NaN))).to.be.instanceOf(RangeError);
      expect(await rejection(() => future.exception(NaN))).to.be.instanceOf(RangeError);
      for (const timeout of [null, '5', {}, 5n]) {
        expect(await rejection(() => future.result(timeout as never))).to.be.instanceOf(TypeError);
      }
    });

    it('Future.result leaves nothing on a long-lived future after its time has passed', async () => {
      const { future } = running();
      const references: WeakRef<object>[] = [];
      const wait = () => {
        const result = future.result(10);
        result.catch(() => undefined);
        references.push(new WeakRef(result));
        clock().tick(10);
      };
      for (let i = 0; i < 1000; i++) wait();
      expect(await survivors(references)).to.be.lessThan(5);
      expect(future.done()).to.equal(false);
    });
  });

  describe('exception', () => {
    it('Future.exception gives the error as a value', async () => {
      const error = new Error('boom');
      expect(await failed(error).future.exception()).to.equal(error);
    });

    it('Future.exception gives undefined for a success', async () => {
      expect(await succeeded(42).future.exception()).to.equal(undefined);
    });

    it('Future.exception rejects with CancelledError when cancelled', async () => {
      expect(await rejection(cancelled().future.exception())).to.be.instanceOf(CancelledError);
    });
  });

  describe('falsy errors', () => {
    for (const error of [undefined, null, 0, '', false, NaN]) {
      it(`Future keeps ${inspect(error)} as an error`, async () => {
        const { future } = failed(error);
        expect(future.outcome()).to.deep.equal({ status: 'rejected', reason: error });
        expect(await future.exception()).to.deep.equal(error);
        expect(await rejection(future)).to.deep.equal(error);
        expect(await rejection(future.result(5))).to.deep.equal(error);
        expect(future.cancelled()).to.equal(false);
        expect(future.cancel()).to.equal(false);
      });
    }
  });

  describe('outcome', () => {
    it('Future.outcome is undefined while the future is not done', () => {
      expect(pending().future.outcome()).to.equal(undefined);
      expect(running().future.outcome()).to.equal(undefined);
    });

    it('Future.outcome is an entry of Promise.allSettled for a done future', async () => {
      const error = new Error('boom');
      const { future: good } = succeeded(42);
      const { future: bad } = failed(error);
      expect(good.outcome()).to.deep.equal({ status: 'fulfilled', value: 42 });
      expect(bad.outcome()).to.deep.equal({ status: 'rejected', reason: error });
      expect([good.outcome(), bad.outcome()]).to.deep.equal(await Promise.allSettled([good, bad]));
    });

    it('Future.outcome of a cancelled future is rejected with a CancelledError', () => {
      const outcome = cancelled().future.outcome();
      expect(outcome?.status).to.equal('rejected');
      expect((outcome as PromiseRejectedResult).reason).to.be.instanceOf(CancelledError);
    });

    it('Future.outcome is there inside a done callback', () => {
      const { future, setResult } = running<number>();
      const seen: unknown[] = [];
      future.addDoneCallback((f) => seen.push(f.outcome()));
      setResult(5);
      expect(seen).to.deep.equal([{ status: 'fulfilled', value: 5 }]);
    });
  });

  describe('as a promise', () => {
    it('Future.then is what await calls', async () => {
      expect(await succeeded(1).future).to.equal(1);
      expect(await rejection(failed('no').future)).to.equal('no');
      expect(await rejection(cancelled().future)).to.be.instanceOf(CancelledError);
    });

    it('Future.then chains', async () => {
      expect(await succeeded(1).future.then((value) => value + 1)).to.equal(2);
      expect(await failed('no').future.then(null, (reason) => `${String(reason)}!`)).to.equal('no!');
      expect(await succeeded(1).future.then(null)).to.equal(1);
    });

    it('Future.catch handles the error', async () => {
      expect(await failed('no').future.catch((reason: unknown) => [reason])).to.deep.equal(['no']);
      expect(await succeeded(1).future.catch(() => 2)).to.equal(1);
    });

    it('Future.finally runs either way and passes the outcome on', async () => {
      let calls = 0;
      expect(await succeeded(1).future.finally(() => calls++)).to.equal(1);
      expect(await rejection(failed('no').future.finally(() => calls++))).to.equal('no');
      expect(await rejection(cancelled().future.finally(() => calls++))).to.be.instanceOf(CancelledError);
      expect(calls).to.equal(3);
    });

    it('Future works with Promise.all, race, any and allSettled', async () => {
      const { future: a } = succeeded('a');
      const { future: b } = succeeded('b');
      const { future: open } = pending<string>();
      expect(await Promise.all([a, b])).to.deep.equal(['a', 'b']);
      expect(await Promise.race([open, a])).to.equal('a');
      expect(await Promise.any([failed<string>('no').future, b])).to.equal('b');
    });

    it('Future.then calls back in a microtask, never at once', async () => {
      const { future, setResult } = running<number>();
      const order: string[] = [];
      const chained = future.then(() => order.push('then'));
      setResult(1);
      order.push('after setResult');
      await chained;
      expect(order).to.deep.equal(['after setResult', 'then']);
    });

    it('a future that many await tells each of them, in their order, and once', async () => {
      for (const end of ['setResult', 'setException'] as const) {
        const resolvers = running<string>();
        const { future } = resolvers;
        const told: string[] = [];
        const awaiting = async (name: string): Promise<void> => {
          told.push(`${name} ${String(await future.catch((error: unknown) => error))}`);
        };
        const plainly = async (name: string): Promise<void> => {
          try {
            told.push(`${name} ${await future}`);
          } catch (error) {
            told.push(`${name} ${String(error)}`);
          }
        };
        const all = [plainly('first'), plainly('second'), awaiting('third'), plainly('fourth')];
        await flushMicrotasks();
        resolvers[end]('told');
        await Promise.all([...all, plainly('late')]);
        expect(told.sort()).to.deep.equal(['first told', 'fourth told', 'late told', 'second told', 'third told']);
      }
    });

    it('Future.then with the functions that resolve a promise returns a promise all the same', async () => {
      for (const end of ['setResult', 'setException'] as const) {
        const resolvers = running<string>();
        let returned: Promise<void> | undefined;
        const resolved = new Promise((resolve, reject) => {
          returned = resolvers.future.then(resolve, reject);
        });
        expect(returned).to.be.instanceOf(Promise);
        const seen: unknown[] = [];
        const watching = Promise.all([
          returned?.then((value) => seen.push(value)),
          returned?.catch(() => seen.push('never')),
          returned?.finally(() => seen.push('finally')),
        ]);
        await flushMicrotasks();
        expect(seen).to.deep.equal([]);
        resolvers[end]('done');
        expect(await Promise.allSettled([resolved])).to.deep.equal([
          end === 'setResult' ? { status: 'fulfilled', value: 'done' } : { status: 'rejected', reason: 'done' },
        ]);
        await watching;
        expect(seen).to.have.members([undefined, 'finally']);
      }
    });

    it('Future.then calls functions of users in a microtask, also those without a name, and bound ones', async () => {
      const { future, setResult } = running<number>();
      const order: unknown[] = [];
      const chained = [
        future.then(
          (value) => order.push(value),
          (error) => order.push(error),
        ),
        future.then(order.push.bind(order), order.push.bind(order)),
      ];
      setResult(1);
      order.push('after setResult');
      expect(await Promise.all(chained)).to.deep.equal([2, 3]);
      expect(order).to.deep.equal(['after setResult', 1, 1]);
    });

    it('a function that passes for one of the engine and throws ends nothing but itself', async () => {
      const { future, setResult } = running<number>();
      const forged = function (this: void, value: unknown): void {
        throw new Error(`forged ${String(value)}`);
      }.bind(undefined);
      Object.defineProperty(forged, 'name', { value: '' });
      const errors = await consoleErrors(() => {
        void future.then(forged, forged);
        setResult(1);
      });
      expect(await future).to.equal(1);
      expect(errors.join()).to.include('forged');
    });

    it('the last promise that a future made is kept alive by nobody', async () => {
      const made = (() => {
        const { future, setResult } = running<object>();
        const value = { large: true };
        void future.result();
        setResult(value);
        return [new WeakRef(future), new WeakRef(value)];
      })();
      expect(await survivors(made)).to.equal(0);
    });
  });

  describe('addDoneCallback', () => {
    for (const [end, act] of [
      [
        'a result',
        (made: ReturnType<typeof pending>) => {
          made.setResult(5);
        },
      ],
      [
        'an exception',
        (made: ReturnType<typeof pending>) => {
          made.setException(new Error('test'));
        },
      ],
      [
        'a cancellation',
        (made: ReturnType<typeof pending>) => {
          made.future.cancel();
        },
      ],
    ] as const) {
      it(`Future.addDoneCallback calls back at ${end}, with the future as the only argument`, () => {
        const made = pending();
        const calls: unknown[][] = [];
        made.future.addDoneCallback((...args: unknown[]) => {
          expect(made.future.done()).to.equal(true);
          made.future.outcome();
          calls.push(args);
        });
        act(made);
        expect(calls).to.have.length(1);
        expect(calls[0]).to.have.length(1);
        expect(calls[0]?.[0]).to.equal(made.future);
      });
    }

    it('Future.addDoneCallback keeps the order in which callbacks were added', () => {
      const { future, setResult } = pending<number>();
      const order: number[] = [];
      for (let i = 0; i < 10; i++) future.addDoneCallback(() => order.push(i));
      setResult(0);
      expect(order).to.deep.equal([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    });

    it('Future.addDoneCallback runs the same function twice when it was added twice', () => {
      const { future, setResult } = pending<number>();
      let calls = 0;
      const callback = () => calls++;
      future.addDoneCallback(callback);
      future.addDoneCallback(callback);
      setResult(0);
      expect(calls).to.equal(2);
    });

    it('Future.addDoneCallback reports a callback that throws, and goes on with the others and the caller', async () => {
      const { future, setResult } = pending<number>();
      const error = new Error('doh!');
      const ran: string[] = [];
      future.addDoneCallback(() => ran.push('first'));
      future.addDoneCallback(() => {
        throw error;
      });
      future.addDoneCallback(() => ran.push('last'));
      const reports = await consoleErrors(() => {
        setResult(5);
      });
      expect(ran).to.deep.equal(['first', 'last']);
      expect(reports).to.have.length(1);
      expect(reports[0]).to.include(error);
      expect(await future).to.equal(5);
    });

    it('Future.addDoneCallback reports a callback that throws when added after the end', async () => {
      const error = new Error('doh!');
      const reports = await consoleErrors(async () => {
        succeeded(5).future.addDoneCallback(() => {
          throw error;
        });
        await flushMicrotasks();
      });
      expect(reports).to.have.length(1);
      expect(reports[0]).to.include(error);
    });

    it('Future.addDoneCallback calls back in a microtask when the future is done already, in order', async () => {
      const { cancelled: c, failed: f, succeeded: s } = inEveryState();
      const order: string[] = [];
      c.future.addDoneCallback(() => order.push('cancelled'));
      f.future.addDoneCallback(() => order.push('failed'));
      s.future.addDoneCallback(() => order.push('succeeded'));
      order.push('sync');
      expect(order).to.deep.equal(['sync']);
      await Promise.resolve();
      expect(order).to.deep.equal(['sync', 'cancelled', 'failed', 'succeeded']);
    });

    it('Future.addDoneCallback called by a callback runs that one in a microtask', async () => {
      const { future, setResult } = pending<number>();
      const order: string[] = [];
      future.addDoneCallback(() => {
        future.addDoneCallback(() => order.push('inner'));
        order.push('first');
      });
      future.addDoneCallback(() => order.push('second'));
      setResult(0);
      expect(order).to.deep.equal(['first', 'second']);
      await Promise.resolve();
      expect(order).to.deep.equal(['first', 'second', 'inner']);
    });

    it('Future.addDoneCallback runs the callback in the async context that added it', async () => {
      const storage = new AsyncLocalStorage<string>();
      const { future, setResult } = pending<number>();
      const seen: (string | undefined)[] = [];
      storage.run('adder', () => {
        future.addDoneCallback(() => seen.push(storage.getStore()));
      });
      storage.run('settler', () => {
        setResult(0);
      });
      storage.run('late adder', () => {
        future.addDoneCallback(() => seen.push(storage.getStore()));
      });
      await flushMicrotasks();
      expect(seen).to.deep.equal(['adder', 'late adder']);
    });

    it('Future.addDoneCallback refuses what is not a function', () => {
      for (const callback of [undefined, null, 1, {}]) {
        expect(() => {
          pending().future.addDoneCallback(callback as never);
        }).to.throw(TypeError);
      }
    });
  });

  describe('withResolvers', () => {
    const WRITES = {
      setResult: (made: ReturnType<typeof pending>) => {
        made.setResult('other');
      },
      setException: (made: ReturnType<typeof pending>) => {
        made.setException(new Error('other'));
      },
    };
    for (const state of ['cancelled', 'failed', 'succeeded'] as const) {
      for (const write of ['setResult', 'setException'] as const) {
        it(`Future.withResolvers: ${write} throws InvalidStateError on a ${state} future and changes nothing`, () => {
          const made = inEveryState()[state];
          const before = made.future.outcome();
          expect(() => {
            WRITES[write](made);
          }).to.throw(InvalidStateError, state === 'cancelled' ? 'cancelled' : 'finished');
          expect(made.future.outcome()).to.deep.equal(before);
        });
      }
    }
    for (const state of ['pending', 'running'] as const) {
      it(`Future.withResolvers: setResult and setException end a ${state} future`, () => {
        const good = inEveryState()[state];
        good.setResult(1);
        expect(good.future.outcome()).to.deep.equal({ status: 'fulfilled', value: 1 });
        const bad = inEveryState()[state];
        bad.setException('no');
        expect(bad.future.outcome()).to.deep.equal({ status: 'rejected', reason: 'no' });
      });
    }

    it('Future.withResolvers: a future cannot be its own result', async () => {
      const { future, setResult } = Future.withResolvers<unknown>();
      setResult(future);
      expect(await rejection(future)).to.be.instanceOf(TypeError);
    });

    it('Future.withResolvers: setRunningOrNotifyCancel returns true for a pending future, which is running then', () => {
      const { future, setRunningOrNotifyCancel } = pending();
      expect(setRunningOrNotifyCancel()).to.equal(true);
      expect(future.running()).to.equal(true);
    });

    it('Future.withResolvers: setRunningOrNotifyCancel returns false for a cancelled future', () => {
      const { future, setRunningOrNotifyCancel } = cancelled();
      expect(setRunningOrNotifyCancel()).to.equal(false);
      expect(future.cancelled()).to.equal(true);
    });

    for (const state of ['running', 'failed', 'succeeded'] as const) {
      it(`Future.withResolvers: setRunningOrNotifyCancel throws InvalidStateError on a ${state} future`, () => {
        expect(() => inEveryState()[state].setRunningOrNotifyCancel()).to.throw(InvalidStateError);
      });
    }

    it('Future.withResolvers keeps the writing side off the future', () => {
      const { future } = pending();
      expect(future).not.to.have.any.keys('setResult', 'setException', 'setRunningOrNotifyCancel');
    });
  });

  describe('inspection', () => {
    it('Future shows its state, and its value or error once it has one', () => {
      expect(inspect(pending().future)).to.equal('Future { pending }');
      expect(inspect(running().future)).to.equal('Future { running }');
      expect(inspect(cancelled().future)).to.equal('Future { cancelled }');
      expect(inspect(succeeded({ a: [1] }).future)).to.equal('Future { finished: { a: [ 1 ] } }');
      expect(inspect(failed(new RangeError('no')).future)).to.match(/^Future { finished: threw RangeError: no\n/);
    });

    it('Future.toString shows the same, shorter', () => {
      expect(String(pending().future)).to.equal('Future { pending }');
      expect(String(running().future)).to.equal('Future { running }');
      expect(String(cancelled().future)).to.equal('Future { cancelled }');
      expect(String(succeeded('x').future)).to.equal('Future { finished: "x" }');
      expect(String(failed(new RangeError('no')).future)).to.equal('Future { finished: threw RangeError: no }');
    });

    it('Future.toString survives values that cannot be made text of', () => {
      expect(String(succeeded(Object.create(null)).future)).to.equal('Future { finished: [object Object] }');
      expect(String(succeeded(Symbol('s')).future)).to.equal('Future { finished: Symbol(s) }');
    });

    it('Future is shown in short where util.inspect is at its depth limit', () => {
      expect(inspect({ a: { b: { c: succeeded(1).future } } }, { depth: 1 })).to.equal('{ a: { b: [Object] } }');
      expect(inspect({ future: succeeded(1).future }, { depth: 0 })).to.equal('{ future: [Future] }');
    });

    it('Future comes to an end when its value refers to it', () => {
      const value: { future?: unknown } = {};
      const { future, setResult } = running();
      value.future = future;
      setResult(value);
      expect(inspect(future)).to.equal('Future { finished: { future: Future { finished: [Object] } } }');
    });

    it('Object.prototype.toString names the class', () => {
      expect(Object.prototype.toString.call(pending().future)).to.equal('[object Future]');
    });
  });

  describe('of an executor', () => {
    const source = (begun: boolean): Source & { withdrawn: number; begin(): void } => {
      const made = {
        withdrawn: 0,
        begin: () => {
          begun = true;
        },
        begun: () => begun,
        withdraw: () => {
          made.withdrawn++;
          return !begun;
        },
        describe: () => ({ name: 'work', site: () => '' }),
      };
      return made;
    };

    it('Future.running asks the source whether a worker has begun', () => {
      const from = source(false);
      const future = createFuture(from);
      expect(future.running()).to.equal(false);
      from.begin();
      expect(future.running()).to.equal(true);
      expect(inspect(future)).to.equal('Future { running }');
    });

    it('Future.cancel takes the task back from the source, once', () => {
      const from = source(false);
      const future = createFuture(from);
      expect([future.cancel(), future.cancel()]).to.deep.equal([true, true]);
      expect(from.withdrawn).to.equal(1);
    });

    it('Future.cancel returns false when the source says that a worker was faster', () => {
      const future = createFuture(source(true));
      expect(future.cancel()).to.equal(false);
      expect(future.running()).to.equal(true);
      expect(future.cancelled()).to.equal(false);
    });

    it('Future stays running once marked so, whatever the source says', () => {
      const from = source(false);
      const future = createFuture(from);
      markRunning(future);
      expect(future.running()).to.equal(true);
      expect(future.cancel()).to.equal(false);
      expect(from.withdrawn).to.equal(0);
    });

    it('Future is ended once: what comes later is ignored', async () => {
      const future = createFuture<number>(source(true));
      succeed(future, 1);
      fail(future, new Error('too late'));
      markCancelled(future);
      succeed(future, 2);
      expect(await future).to.equal(1);

      const taken = createFuture(source(false));
      markCancelled(taken);
      succeed(taken, 1);
      expect(taken.cancelled()).to.equal(true);
    });
  });
});
