import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { proxy } from 'concurrent-futures';
import { OutOfCheeseError, runOutOfCheese } from '../fixtures/tasks.js';
import { catchFrom, CheeseException, learnValues, MouseError, throwCheeseException } from '../fixtures/values.js';
import { runScript } from '../support/child.js';
import { passGateAsync } from '../support/gate.js';
import { type Capabilities, type MakeExecutor, useBench } from '../support/pool-under-test.js';
import { instance, rejectionAs, rejectionOf, settled } from '../support/watchdog.js';

/** That errors lose nothing on their way, whatever they are made of. */
export function describeWholeErrors(name: string, makeExecutor: MakeExecutor, capabilities: Capabilities): void {
  describe(`${name}: whole errors`, () => {
    const bench = useBench(makeExecutor, capabilities);

    it('a chain of 10,000 causes arrives to its end', async () => {
      const future = bench.pool({ maxWorkers: 1 }).submit((depth: number) => {
        let error = new RangeError('the root');
        for (let i = 0; i < depth; i++) error = new Error(String(i), { cause: error });
        throw error;
      }, 10_000);
      let at: unknown = await rejectionAs(future, Error);
      let depth = 0;
      for (; at instanceof Error && at.cause !== undefined; at = at.cause) depth++;
      expect(depth).to.equal(10_000);
      expect(instance(at, RangeError).message).to.equal('the root');
    });

    it('a cyclic cause, and a property that leads back, arrive as cycles', async () => {
      const future = bench.pool().submit(() => {
        const inner = new TypeError('inner');
        const self: { list?: unknown[] } = {};
        const outer = Object.assign(new Error('outer', { cause: inner }), { self });
        inner.cause = outer;
        outer.self.list = [outer.self, inner];
        throw outer;
      });
      const outer = (await rejectionAs(future, Error)) as Error & { self: { list: unknown[] } };
      const inner = instance(outer.cause, TypeError);
      expect(inner.cause).to.equal(outer);
      expect(outer.self.list[0]).to.equal(outer.self);
      expect(outer.self.list[1]).to.equal(inner);
    });

    it('an AggregateError inside a cause keeps its errors and their causes', async () => {
      const future = bench.pool().submit(() => {
        const errors = [new RangeError('one', { cause: 1 }), Object.assign(new TypeError('two'), { code: 'E_TWO' })];
        throw new Error('outer', { cause: new AggregateError(errors, 'both') });
      });
      const { errors } = instance((await rejectionAs(future, Error)).cause, AggregateError);
      expect(instance(errors[0], RangeError).cause).to.equal(1);
      expect(instance(errors[1], TypeError)).to.include({ message: 'two', code: 'E_TWO' });
      expect(errors).to.have.length(2);
    });

    it("an own property named '__proto__' or 'constructor' is a property like another", async () => {
      const future = bench.pool().submit(() => {
        const details = JSON.parse('{"__proto__": {"polluted": true}}') as object;
        const error = Object.assign(new Error('with odd names'), { details, constructor: 'me' });
        Object.defineProperty(error, '__proto__', { value: { polluted: true }, enumerable: true });
        throw error;
      });
      const error = await rejectionAs(future, Error);
      expect(error).not.to.have.property('polluted');
      expect(Object.keys(error)).to.have.members(['details', 'constructor', '__proto__']);
      expect(Object.getOwnPropertyDescriptor(error, '__proto__')?.value).to.deep.equal({ polluted: true });
      const { details } = error as unknown as { details: object };
      expect(Object.keys(details)).to.deep.equal(['__proto__']);
      expect(details).not.to.have.property('polluted');
    });

    it('an error keeps its code also when its class has it', async () => {
      const future = bench.pool().submit(() => {
        class CodedError extends TypeError {
          override get name() {
            return 'CodedError';
          }
          get code() {
            return 'E_CODED';
          }
        }
        throw new CodedError('of a class that is not known here');
      });
      const error = await rejectionAs(future, TypeError);
      expect(error).to.include({ name: 'CodedError', code: 'E_CODED' });
      expect(Object.keys(error)).to.deep.equal([]);
    });

    it('values in an error that cannot be cloned are described, and the others are there', async () => {
      const future = bench.pool().submit(() => {
        const revoked = Proxy.revocable({}, {});
        revoked.revoke();
        throw Object.assign(new RangeError('with things'), {
          code: 'E_THINGS',
          callback: function onCheese() {
            return 1;
          },
          symbol: Symbol('s'),
          promise: Promise.resolve(),
          weak: new WeakMap(),
          revoked: revoked.proxy,
          map: new Map([[1, { two: 2 }]]),
          withFunction: new Map([[1, () => 1]]),
          nested: { deep: [() => 1, 'kept'] },
          date: new Date(0),
        });
      });
      const error = (await rejectionAs(future, RangeError)) as unknown as Record<string, unknown>;
      expect(error).to.include({ message: 'with things', code: 'E_THINGS', symbol: '[Symbol(s)]' });
      expect(error['callback']).to.equal('[the function onCheese]');
      expect(error['promise']).to.include('Promise');
      expect(error['weak']).to.include('WeakMap');
      expect(error['revoked']).to.be.a('string');
      expect(error['map']).to.deep.equal(new Map([[1, { two: 2 }]]));
      expect(error['withFunction']).to.include('Map');
      expect((error['nested'] as { deep: unknown[] }).deep[1]).to.equal('kept');
      expect(error['date']).to.deep.equal(new Date(0));
    });

    it('a getter that throws does not lose the error, even when what it throws has no text', async () => {
      const future = bench.pool().submit(() => {
        const error = Object.assign(new RangeError('with traps'), { code: 'E_TRAP' });
        Object.defineProperty(error, 'plain', {
          enumerable: true,
          get: () => {
            throw new Error('from the getter');
          },
        });
        Object.defineProperty(error, 'textless', {
          enumerable: true,
          get: () => {
            throw {
              toString() {
                throw new Error('no text');
              },
            };
          },
        });
        throw error;
      });
      const error = await rejectionAs(future, RangeError);
      expect(error).to.include({ message: 'with traps', code: 'E_TRAP' });
      expect(error).to.have.property('plain').that.includes('from the getter');
      expect(error).to.have.property('textless').that.is.a('string');
    });

    it('a getter that gives ever new objects does not keep the error for ever', async () => {
      const future = bench.pool({ maxWorkers: 1 }).submit(() => {
        const endless = () => ({
          get deeper() {
            return endless();
          },
        });
        throw Object.assign(new RangeError('endless'), { endless: endless() });
      });
      expect((await rejectionAs(future, RangeError)).message).to.equal('endless');
    });

    it('a sparse array in an error stays sparse', async () => {
      const future = bench.pool({ maxWorkers: 1 }).submit(() => {
        const sparse: unknown[] = [];
        sparse[4_000_000_000] = 'far';
        throw Object.assign(new Error('sparse'), { sparse });
      });
      const { sparse } = (await rejectionAs(future, Error)) as unknown as { sparse: unknown[] };
      expect(sparse.length).to.equal(4_000_000_001);
      expect(Object.keys(sparse)).to.deep.equal(['4000000000']);
    });

    it('errors with odd classes, names, messages and stacks arrive', async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      const oddClass = await rejectionAs(
        pool.submit(() => {
          class Odd extends RangeError {}
          Object.defineProperty(Odd, 'name', { value: () => 'not a text' });
          throw new Odd('of an odd class');
        }),
        RangeError,
      );
      expect(oddClass.message).to.equal('of an odd class');
      const throwingName = await rejectionAs(
        pool.submit(() => {
          class Odd extends RangeError {}
          Object.defineProperty(Odd, 'name', {
            get: () => {
              throw new Error('no name');
            },
          });
          throw new Odd('of a class without a name');
        }),
        RangeError,
      );
      expect(throwingName.message).to.equal('of a class without a name');
      const nameless = await rejectionAs(
        pool.submit(() => {
          throw Object.setPrototypeOf(new RangeError('without a prototype'), null);
        }),
        Error,
      );
      expect(nameless).to.include({ name: 'Error', message: 'without a prototype' });
      const stackless = await rejectionAs(
        pool.submit(() => {
          throw Object.assign(new RangeError('without a stack'), { stack: undefined });
        }),
        RangeError,
      );
      expect(stackless.stack).to.match(/^RangeError: without a stack/);
      expect(stackless.stack).not.to.include('/wire/');
      const stringless = await rejectionAs(
        pool.submit(() => {
          throw Object.assign(new RangeError('without a text'), {
            toString: () => {
              throw new Error('no text');
            },
          });
        }),
        RangeError,
      );
      expect(stringless.message).to.equal('without a text');
    });

    it('a frozen error arrives', async () => {
      const future = bench.pool().submit(() => {
        throw Object.freeze(Object.assign(new RangeError('frozen'), { code: 'E_COLD' }));
      });
      expect(await rejectionAs(future, RangeError)).to.include({ message: 'frozen', code: 'E_COLD' });
    });

    it('an error from another realm keeps its built-in class', async () => {
      const future = bench.pool().submit(async () => {
        const { runInNewContext } = await import('node:vm');
        runInNewContext('throw Object.assign(new TypeError("from elsewhere"), { code: 7 })');
      });
      expect(await rejectionAs(future, TypeError)).to.include({ message: 'from elsewhere', code: 7 });
    });

    it('a thrown function, symbol or revoked proxy rejects with a description of it', async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      const thrownFunction = pool.submit(() => {
        throw function cheese() {
          return 1;
        };
      });
      expect(await rejectionOf(thrownFunction)).to.equal('[the function cheese]');
      const thrownSymbol = pool.submit(() => {
        throw Symbol('s');
      });
      expect(await rejectionOf(thrownSymbol)).to.equal('[Symbol(s)]');
      expect(await settled(pool.submit(() => 1))).to.equal(1);
    });

    it('a message of 50 MB arrives', async () => {
      const future = bench.pool({ maxWorkers: 1 }).submit((length: number) => {
        throw new Error('x'.repeat(length));
      }, 50_000_000);
      expect((await rejectionAs(future, Error)).message).to.have.length(50_000_000);
    });

    it('a DOMException keeps its cause-like properties and a registered subclass its class', async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      const plain = pool.submit(() => {
        throw Object.assign(new DOMException('stopped', 'AbortError'), { detail: { by: 'cat' } });
      });
      expect(await rejectionAs(plain, DOMException)).to.deep.include({ name: 'AbortError', detail: { by: 'cat' } });
      const own = await rejectionAs(pool.submit(throwCheeseException), CheeseException);
      expect(own).to.include({ name: 'DataError', message: 'mouldy', code: 0 });
    });

    it('errors of registered classes arrive as such in the worker too: a callback of the host throws one', async () => {
      const callback = proxy(() => {
        throw Object.assign(new MouseError('squeak', { cause: 'cat' }), { holes: 3, code: 'E_SQUEAK' });
      });
      expect(await settled(bench.pool().submit(catchFrom, callback))).to.deep.equal({
        name: 'MouseError',
        message: 'squeak',
        cause: 'cat',
        holes: 3,
        code: 'E_SQUEAK',
        isMouseError: true,
      });
    });

    it('errors are whole as arguments and as results, too', async () => {
      const pool = bench.pool({ maxWorkers: 1, initializer: learnValues });
      const given = Object.assign(new MouseError('a value', { cause: new DOMException('inside', 'AbortError') }), {
        holes: 2,
        callback: () => 1,
      });
      const error = instance(
        await settled(
          pool.submit((error: MouseError) => {
            if (error.holes !== 2 || !(error.cause instanceof DOMException)) throw new Error('it is not whole');
            return error;
          }, given),
        ),
        MouseError,
      );
      expect(error).to.include({ message: 'a value', holes: 2 });
      expect(instance(error.cause, DOMException).name).to.equal('AbortError');
      const exception = await settled(pool.submit(() => new DOMException('a value', 'AbortError')));
      expect(instance(exception, DOMException).name).to.equal('AbortError');
    });

    it('a registered class arrives as such behind a cause and within an AggregateError', async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      const cheese = await rejectionAs(pool.submit(runOutOfCheese, 3), OutOfCheeseError);
      const again = pool.submit((error: Error) => {
        throw new AggregateError([error], 'several', { cause: error });
      }, cheese);
      const aggregate = await rejectionAs(again, AggregateError);
      expect(instance(aggregate.cause, OutOfCheeseError).shelf).to.equal(3);
      expect(aggregate.errors[0]).to.equal(aggregate.cause);
    });

    it('the stack says where a task was submitted, and says so when that was noted for an earlier one', async () => {
      const pool = bench.pool();
      const fails = () => {
        throw new Error('broken');
      };
      const errors = await Promise.all(Array.from({ length: 1000 }, () => pool.submit(fails).exception()));
      const halves = errors.map((error) => instance(error, Error).stack?.split(/^ {4}at --- (.*) ---$/m) ?? []);
      expect(halves[0]?.[1]).to.equal('submitted to the executor');
      // How many depends on how fast they were submitted.
      expect(halves.map((half) => half[1])).to.include('submitted to the executor, last noted here');
      for (const half of halves) expect(half[2]).to.include('whole-errors');
    });

    it('the failure of a task that nobody looked at is reported once, with its name and where it was submitted', async () => {
      const script = new URL('../fixtures/lost-tasks.js', import.meta.url);
      const flags = ['--expose-gc', '--no-warnings'];
      const { code, stdout } = await settled(runScript(script, [capabilities.module], flags));
      expect(code).to.equal(0);
      const [message, ...rest] = stdout.trim().split('\n');
      expect(rest).to.deep.equal([]);
      expect(message)
        .to.include('The task losing')
        .and.include('RangeError: lost for ever')
        .and.include('submitLosing');
    });

    it('an error arrives with all that can be sent, whatever else it has, and harms no other task', async () => {
      const pool = bench.pool({ maxWorkers: 1, concurrentTasksPerWorker: 2 });
      const gate = bench.gate();
      const beside = pool.submit(passGateAsync, gate.token, 5);
      await gate.arrived();
      const failing = pool.submit(() => {
        throw Object.assign(new RangeError('mine'), {
          code: 'E_MINE',
          shared: new SharedArrayBuffer(1),
          blob: new Blob(['apple']),
        });
      });
      const error = await rejectionAs(failing, RangeError);
      expect(error).to.include({ message: 'mine', code: 'E_MINE' });
      gate.open();
      expect(await settled(beside)).to.equal(5);
    });

    it('the stack keeps a message that names files of this package', async () => {
      const folder = new URL('../../dist/', import.meta.url);
      const message = `cannot read ${folder.href}index.js\nnor ${fileURLToPath(folder)}index.js`;
      const future = bench.pool({ maxWorkers: 1 }).submit((text: string) => {
        throw new Error(text);
      }, message);
      expect((await rejectionAs(future, Error)).stack?.startsWith(`Error: ${message}\n`)).to.equal(true);
    });

    it('the stack has the frames of the worker, a line that parts them, and those of the caller, once', async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      const submitHere = () =>
        pool.submit(function inTheWorker() {
          throw new Error('two\nlines');
        });
      const { stack = '' } = await rejectionAs(submitHere(), Error);
      expect(stack).to.match(/^Error: two\nlines\n[^]*inTheWorker[^]*--- submitted [^\n]* ---\n[^]*submitHere/);
      expect(stack.match(/--- submitted/g)).to.have.length(1);
      expect(stack.slice(0, stack.indexOf('---'))).not.to.include('node:internal/');
      expect(stack).not.to.include('/dist/');
    });
  });
}
