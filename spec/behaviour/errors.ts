import { expect } from 'chai';
import { type Future } from 'concurrent-futures';
import { explode, OutOfCheeseError, runOutOfCheese } from '../fixtures/tasks.js';
import { type Capabilities, type MakeExecutor, type Pool, useBench } from '../support/pool-under-test.js';
import { instance, rejectionAs, rejectionOf, settled } from '../support/watchdog.js';

function submittedAtThisSite(pool: Pool): Future<never> {
  return pool.submit(function thrower(): never {
    const inner = (): never => {
      throw new RangeError('with a stack');
    };
    return inner();
  });
}

/** How what is thrown in a worker arrives. */
export function describeErrors(name: string, makeExecutor: MakeExecutor, capabilities: Capabilities): void {
  describe(`${name}: errors`, () => {
    const bench = useBench(makeExecutor, capabilities);

    for (const ErrorClass of [Error, TypeError, RangeError, SyntaxError, ReferenceError, EvalError, URIError]) {
      it(`a ${ErrorClass.name} keeps class, name and message`, async () => {
        const future = bench.pool({ maxWorkers: 1 }).submit((className: string) => {
          throw new (globalThis as unknown as Record<string, ErrorConstructor>)[className]!('the message');
        }, ErrorClass.name);
        const error = await rejectionAs(future, ErrorClass);
        expect(Object.getPrototypeOf(error)).to.equal(ErrorClass.prototype);
        expect(error.constructor).to.equal(ErrorClass);
        expect(error.name).to.equal(ErrorClass.name);
        if (ErrorClass === ReferenceError) expect(error.message).to.include('the message');
        else expect(error.message).to.equal('the message');
      });
    }

    it('an error keeps its cause, at every depth', async () => {
      const future = bench.pool().submit(() => {
        throw new TypeError('outer', { cause: new RangeError('middle', { cause: { inner: ['plain', 1n] } }) });
      });
      const error = await rejectionAs(future, TypeError);
      const middle = instance(error.cause, RangeError);
      expect(middle.message).to.equal('middle');
      expect(middle.cause).to.deep.equal({ inner: ['plain', 1n] });
    });

    it('an error without a cause has none, and one with the cause undefined keeps it', async () => {
      const pool = bench.pool();
      const without = await rejectionAs(
        pool.submit(() => {
          throw new Error('none');
        }),
        Error,
      );
      expect('cause' in without).to.equal(false);
      const undefinedCause = await rejectionAs(
        pool.submit(() => {
          throw new Error('undefined', { cause: undefined });
        }),
        Error,
      );
      expect('cause' in undefinedCause).to.equal(true);
    });

    it('an error keeps its own properties', async () => {
      const future = bench.pool().submit(() => {
        throw Object.assign(new Error('with properties'), {
          code: 'E_CHEESE',
          status: 404,
          when: new Date(0),
          details: { list: [1, { two: 2 }], error: new TypeError('inside') },
          nothing: undefined,
        });
      });
      const error = await rejectionAs(future, Error);
      expect(error).to.include({ code: 'E_CHEESE', status: 404, nothing: undefined });
      expect(Object.keys(error)).to.have.members(['code', 'status', 'when', 'details', 'nothing']);
      const { when, details } = error as unknown as { when: Date; details: { list: unknown; error: unknown } };
      expect(when).to.deep.equal(new Date(0));
      expect(details.list).to.deep.equal([1, { two: 2 }]);
      expect(instance(details.error, TypeError).message).to.equal('inside');
    });

    it('an error keeps a name of its own', async () => {
      const future = bench.pool().submit(() => {
        const error = new RangeError('renamed');
        error.name = 'CheeseShortage';
        throw error;
      });
      const error = await rejectionAs(future, RangeError);
      expect(error.name).to.equal('CheeseShortage');
      expect(String(error)).to.equal('CheeseShortage: renamed');
    });

    it('an error of a class unknown here keeps name, message, properties and built-in class', async () => {
      const future = bench.pool().submit(() => {
        class UnknownError extends TypeError {
          override readonly name: string = 'UnknownError';
        }
        throw Object.assign(new UnknownError('of a class of its own'), { code: 5 });
      });
      const error = await rejectionAs(future, TypeError);
      expect(error).to.include({ name: 'UnknownError', message: 'of a class of its own', code: 5 });
    });

    it('an error of a registered class arrives as that class, without its constructor being called', async () => {
      const error = await rejectionAs(bench.pool().submit(runOutOfCheese, 7), OutOfCheeseError);
      expect(error).to.be.instanceOf(RangeError);
      expect(error).to.include({ name: 'OutOfCheeseError', message: 'no cheese on shelf 7', shelf: 7 });
    });

    it('an AggregateError keeps its errors', async () => {
      const future = bench.pool().submit(() => {
        throw new AggregateError([new TypeError('one'), 'two', new RangeError('three')], 'several');
      });
      const error = await rejectionAs(future, AggregateError);
      expect(error.message).to.equal('several');
      expect(error.errors).to.have.length(3);
      expect(instance(error.errors[0], TypeError).message).to.equal('one');
      expect(error.errors[1]).to.equal('two');
      expect(instance(error.errors[2], RangeError).message).to.equal('three');
    });

    it('the error of Promise.any keeps its errors', async () => {
      const future = bench.pool().submit(() => Promise.any([Promise.reject(new TypeError('one'))]));
      const error = await rejectionAs(future, AggregateError);
      expect(instance(error.errors[0], TypeError).message).to.equal('one');
    });

    it('a DOMException keeps name, message and code', async () => {
      const future = bench.pool().submit(() => {
        throw new DOMException('stopped', 'AbortError');
      });
      const error = await rejectionAs(future, DOMException);
      expect(error).to.include({ name: 'AbortError', message: 'stopped', code: 20 });
    });

    it('a system error keeps its code, errno, syscall and path', async () => {
      const future = bench.pool().submit(async () => {
        const { readFile } = await import('node:fs/promises');
        return readFile('/no/such/file', 'utf8');
      });
      const error = await rejectionAs(future, Error);
      expect(error).to.include({ code: 'ENOENT', syscall: 'open', path: '/no/such/file' });
      expect((error as { errno?: number }).errno).to.be.below(0);
    });

    it('an error of Node keeps class and code', async () => {
      const future = bench.pool().submit(() => Buffer.alloc('x' as unknown as number).length);
      expect(await rejectionAs(future, TypeError)).to.include({ code: 'ERR_INVALID_ARG_TYPE' });
    });

    it('an error keeps an empty and a long message', async () => {
      const pool = bench.pool();
      const fail = (message: string) => {
        throw new Error(message);
      };
      expect((await rejectionAs(pool.submit(fail, ''), Error)).message).to.equal('');
      const long = 'x'.repeat(100_000);
      expect((await rejectionAs(pool.submit(fail, long), Error)).message).to.equal(long);
    });

    it('an error that is rejected asynchronously arrives as one that is thrown', async () => {
      const future = bench.pool().submit(async () => {
        await Promise.resolve();
        throw new RangeError('later');
      });
      expect((await rejectionAs(future, RangeError)).message).to.equal('later');
      expect(await future.exception()).to.be.instanceOf(RangeError);
    });

    for (const [what, value] of Object.entries({
      undefined: undefined,
      null: null,
      0: 0,
      'an empty string': '',
      false: false,
      NaN: NaN,
      'a string': 'text',
      'a number': 7,
      'a bigint': 7n,
      'an object': { code: 1, list: [1] },
      'an array': [1, 'two'],
      'an object without a prototype': Object.assign(Object.create(null) as object, { a: 1 }),
    })) {
      it(`throwing ${what} rejects with it`, async () => {
        const future = bench.pool({ maxWorkers: 1 }).submit((given: unknown) => {
          throw given;
        }, value);
        const reason = await rejectionOf(future);
        expect(reason).to.deep.equal(structuredClone(value));
        expect(future.outcome()).to.deep.equal({ status: 'rejected', reason });
        expect(Object.is(await future.exception(), reason)).to.equal(true);
        expect(future.done() && !future.cancelled()).to.equal(true);
      });
    }

    it('stack shows the frames of the worker, followed by where submit() was called', async () => {
      const error = await rejectionAs(submittedAtThisSite(bench.pool()), RangeError);
      const stack = error.stack ?? '';
      expect(stack).to.match(/^RangeError: with a stack\n/);
      const worker = stack.indexOf('thrower');
      const site = stack.indexOf('submittedAtThisSite');
      expect(worker, stack).to.be.above(0);
      expect(site, stack).to.be.above(worker);
      expect(stack.slice(site)).to.include('behaviour/errors.js');
    });

    it('stack of a tagged function shows its module, followed by where submit() was called', async () => {
      const pool = bench.pool();
      const submitHere = () => pool.submit(explode, 1);
      const error = await rejectionAs(submitHere(), TypeError);
      const stack = error.stack ?? '';
      const positions = ['deepInside', 'fixtures/tasks.js', 'submitHere', 'behaviour/errors.js'].map((text) =>
        stack.indexOf(text),
      );
      expect(positions, stack).to.deep.equal([...positions].sort((a, b) => a - b));
      expect(positions[0], stack).to.be.above(0);
      expect(instance(error.cause, Error).message).to.equal('the reason');
    });

    it('stack shows where submit() was called also through with() and map()', async () => {
      const pool = bench.pool();
      const submitUnderOptions = () => pool.with({ priority: 1 }).submit(explode, 1);
      const mapHere = () => pool.map(explode, [1]);
      expect((await rejectionAs(submitUnderOptions(), TypeError)).stack).to.match(/deepInside[^]*submitUnderOptions/);
      expect((await rejectionAs(mapHere(), TypeError)).stack).to.match(/deepInside[^]*mapHere/);
    });

    it('stack shows where submit() was called for each of many tasks submitted in a row', async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      const submitFirst = () => pool.submit(explode, 1);
      const submitLast = () => pool.submit(explode, 1);
      const first = Array.from({ length: 100 }, submitFirst);
      const last = submitLast();
      for (const future of first) expect((await rejectionAs(future, TypeError)).stack).to.include('submitFirst');
      expect((await rejectionAs(last, TypeError)).stack).to.include('submitLast');
    });

    it('stack is no enumerable property', async () => {
      const error = await rejectionAs(submittedAtThisSite(bench.pool()), RangeError);
      expect(Object.keys(error)).to.deep.equal([]);
    });

    it('errors as results and arguments are values like others', async () => {
      const pool = bench.pool();
      const value = await settled(pool.submit((error: Error) => error, new TypeError('a value')));
      expect(instance(value, TypeError).message).to.equal('a value');
    });

    it('the error of one task does not disturb others', async () => {
      const pool = bench.pool({ maxWorkers: 2 });
      const odd = (x: number) => {
        if (x % 2 === 1) throw new RangeError(String(x));
        return x;
      };
      const outcomes = await settled(Promise.allSettled(Array.from({ length: 100 }, (_, i) => pool.submit(odd, i))));
      outcomes.forEach((outcome, i) => {
        if (outcome.status === 'fulfilled') expect([outcome.value, i % 2]).to.deep.equal([i, 0]);
        else expect([instance(outcome.reason, RangeError).message, i % 2]).to.deep.equal([String(i), 1]);
      });
    });
  });
}
