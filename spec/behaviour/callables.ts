/* eslint-disable @typescript-eslint/unbound-method, @typescript-eslint/no-implied-eval, @typescript-eslint/no-unsafe-call -- functions in all forms, taken from where they are and written as tools write them */
import { expect } from 'chai';
import { type Executor, task, tasksFrom, WorkerDiedError } from 'concurrent-futures';
import { mapFromHere, submitFromHere } from '../fixtures/elsewhere.js';
import byDefault, * as here from '../fixtures/tasks.js';
import { Gate, passGate, touch } from '../support/gate.js';
import { runScript } from '../support/child.js';
import { type Capabilities, type MakeExecutor, useBench } from '../support/pool-under-test.js';
import { instance, rejectionAs, rejectionOf, settled, thrownBy } from '../support/watchdog.js';

type Call = (...args: number[]) => unknown;

/** Functions in every form that JavaScript has for them; each is called with 3 and 4 and gives 7. */
class Sums {
  static plain(a: number, b: number): number {
    return a + b;
  }
  static async later(a: number, b: number): Promise<number> {
    return Promise.resolve(a + b);
  }
  static async(a: number, b: number): number {
    return a + b;
  }
  static get(a: number, b: number): number {
    return a + b;
  }
  static static(a: number, b: number): number {
    return a + b;
  }
  static 'a quoted-name'(a: number, b: number): number {
    return a + b;
  }
  static 42(a: number, b: number): number {
    return a + b;
  }
  static [`computed name`](a: number, b: number): number {
    return a + b;
  }
  static [Symbol.iterator](a: number, b: number): number {
    return a + b;
  }
  static $_ümläut(a: number, b: number): number {
    return a + b;
  }
  static get accessor(): number {
    return 7;
  }
  static arrow = (a: number, b: number): number => a + b;
  static #hidden(a: number, b: number): number {
    return a + b;
  }
  static privately(): Call {
    return this.#hidden;
  }
  ofInstances(a: number, b: number): number {
    return a + b;
  }
}

const shorthand = {
  plain(a: number, b: number): number {
    return a + b;
  },
  async later(a: number, b: number): Promise<number> {
    return Promise.resolve(a + b);
  },
  function(a: number, b: number): number {
    return a + b;
  },
  get accessor(): number {
    return 7;
  },
};

// Source as written, because the compiler would tidy it up.
const written = (source: string): Call => new Function(`return ${source}`)() as Call;

const forms: Record<string, Call> = {
  'an arrow function': (a = 0, b = 0) => a + b,
  'an arrow function with a body': (a = 0, b = 0) => {
    const sum = a + b;
    return sum;
  },
  'an arrow function with one bare parameter': written('a => a + 4'),
  'an arrow function that gives an object literal': written('(a, b) => ({ sum: a + b }).sum'),
  'an async arrow function': async (a = 0, b = 0) => Promise.resolve(a + b),
  'an async arrow function with one bare parameter': written('async a => a + 4'),
  'an arrow function on several lines': written('(\n  a,\n  b,\n) =>\n  a +\n  b'),
  'a function expression': function (a = 0, b = 0) {
    return a + b;
  },
  'a named function': function sum(a = 0, b = 0) {
    return a + b;
  },
  'an async function': async function sum(a = 0, b = 0) {
    return Promise.resolve(a + b);
  },
  'a named function that calls itself': function sum(a = 0, b = 0): number {
    return a === 0 ? b : sum(a - 1, b + 1);
  },
  'default parameters that use others': written('function (a, b = a + 1) { return a + b }'),
  'destructured and rest parameters': written(
    '(...[a, b]) => { const { x, ...rest } = { x: a, y: b }; return x + rest.y }',
  ),
  'comments everywhere': written(
    '/* before */ function /* name */ sum /* ( */ (a /* => */, b /* { */) /* } */ { // line )\n return a + b /* after */ ; }',
  ),
  'an async arrow function with comments': written('async /* ( */ (a, b) /* => */ => /* { */ a + b // end'),
  'strings and patterns that look like code': written(
    '(a, b) => { const s = "=> { class function [native code] }", t = `${`}`} /*`, r = /[/}]=>{/; return a + b + (s + t + r).length * 0 }',
  ),
  'the words of a native function in its source': (a = 0, b = 0) => ('{ [native code] }'.length > 0 ? a + b : 0),
  'a function made with new Function': new Function('a', 'b', 'return a + b') as Call,
  'a directive': written('function (a, b) { "use strict"; return this === undefined ? a + b : 0 }'),
  'a function that uses arguments': written('function () { return arguments[0] + arguments[1] }'),
  'a function called async': written('function async(a, b) { return a + b }'),
  'a parameter called async': written('async => async + 4'),
  'a nested function that shadows': written('(a, b) => { const f = (a) => a + b; return f(a) }'),
  'a static method': Sums.plain,
  'an async static method': Sums.later,
  'a method called async': Sums.async,
  'a method called get': Sums.get,
  'a method called static': Sums.static,
  'a method with a quoted name': Sums['a quoted-name'],
  'a method with a number for a name': Sums[42],
  'a method with a computed name': (Sums as unknown as Record<string, Call>)['computed name'] as Call,
  'a method with a symbol for a name': (Sums as unknown as Record<symbol, Call>)[Symbol.iterator] as Call,
  'a method with letters that are not ASCII': Sums.$_ümläut,
  'a static field that holds an arrow function': Sums.arrow,
  'a private static method': Sums.privately(),
  'a method of instances': Sums.prototype.ofInstances,
  'a getter of a class': Object.getOwnPropertyDescriptor(Sums, 'accessor')?.get as Call,
  'a method in shorthand': shorthand.plain,
  'an async method in shorthand': shorthand.later,
  'a method called function': shorthand.function,
  'a getter of an object': Object.getOwnPropertyDescriptor(shorthand, 'accessor')?.get as Call,
  'a setter of an object': Object.getOwnPropertyDescriptor(written('({ set x(a) { return a + 4 } })'), 'x')
    ?.set as Call,
};

// What tools write into functions.
const tooled: Record<string, Call> = {
  "esbuild's names of inner functions": new Function(`
    var __defProp = Object.defineProperty;
    var __name = (target, value) => __defProp(target, "name", { value, configurable: true });
    return /* @__PURE__ */ __name((a, b) => {
      const inner = /* @__PURE__ */ __name((x) => x, "inner");
      function declared(x) { return x; }
      __name(declared, "declared");
      class Local { static { __name(this, "Local"); } }
      return inner(a) + declared(b) + (inner.name === "inner" ? 0 : 100) + (Local.name === "Local" ? 0 : 100);
    }, "outer");
  `)() as Call,
  "esbuild's names, numbered because there are several": new Function(`
    var __name2 = (target, value) => Object.defineProperty(target, "name", { value, configurable: true });
    return function sum(a, b) { const inner = __name2((x) => x, "inner"); return inner(a) + b; };
  `)() as Call,
  "istanbul's counters": new Function(`
    function cov_abc123() { const counts = { s: { 0: 0, 1: 0 }, f: { 0: 0 }, b: { 0: [0, 0] } }; cov_abc123 = () => counts; return counts; }
    return function sum(a, b) {
      cov_abc123().f[0]++;
      const c = (cov_abc123().s[0]++, a > 0 ? (cov_abc123().b[0][0]++, a) : (cov_abc123().b[0][1]++, 0));
      cov_abc123().s[1]++;
      return c + b;
    };
  `)() as Call,
  "istanbul's counters in variables": new Function(`
    var cov_1x2y3z = { s: [0], f: [0], b: [[0, 0]] };
    return (a, b) => { cov_1x2y3z.f[0]++; cov_1x2y3z.s[0]++; cov_1x2y3z.b[0][1]++; return a + b; };
  `)() as Call,
};

const modules = {
  tasks: new URL('../fixtures/tasks.js', import.meta.url),
  missing: new URL('../fixtures/no-such-module.js', import.meta.url),
  failing: new URL('../fixtures/fails-to-load.js', import.meta.url),
  exiting: new URL('../fixtures/exits-on-load.js', import.meta.url),
};

/** In a task: has a pool of its own call `greet` of a module. */
async function greetFromWithin(executor: string, url: string): Promise<string> {
  const { makeExecutor: make } = (await import(executor)) as { makeExecutor: MakeExecutor };
  const { tasksFrom: from } = await import('concurrent-futures');
  const pool = make({ maxWorkers: 1 });
  try {
    return await pool.submit(from<{ greet: () => string }>(url).greet);
  } finally {
    await pool.shutdown();
  }
}

/** What can be submitted, and how it finds what it needs. */
export function describeCallables(name: string, makeExecutor: MakeExecutor, capabilities: Capabilities): void {
  describe(`${name}: callables`, () => {
    const bench = useBench(makeExecutor, capabilities);

    describe('plain functions', () => {
      for (const [form, call] of Object.entries(forms)) {
        it(`submit() takes ${form}`, async () => {
          expect(await settled(bench.pool({ maxWorkers: 1 }).submit(call, 3, 4))).to.equal(7);
        });
      }

      for (const [tool, call] of Object.entries(tooled)) {
        it(`submit() takes functions with ${tool}`, async () => {
          expect(await settled(bench.pool({ maxWorkers: 1 }).submit(call, 3, 4))).to.equal(7);
        });
      }

      it('submit() sends the source once in a while, and the arguments each time', async () => {
        const pool = bench.pool({ maxWorkers: 2 });
        const call = (a: number, b: number) => a * b;
        for (let i = 0; i < 20; i++) expect(await settled(pool.submit(call, i, i))).to.equal(i * i);
      });

      it('submit() tells functions apart that have the same source and name', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const make = (n: number) => written(`function same(a) { return a + ${String(n)} }`);
        const calls = Array.from({ length: 300 }, (_, i) => make(i));
        const results = await settled(Promise.all(calls.map((call) => pool.submit(call, 1))));
        expect(results).to.deep.equal(Array.from({ length: 300 }, (_, i) => i + 1));
      });

      it('submit() of a function that sees a variable around it rejects with a ReferenceError that names the ways out', async () => {
        const pool = bench.pool();
        const captured = 42;
        const error = await rejectionAs(
          pool.submit(() => captured + 1),
          ReferenceError,
        );
        expect(error.message).to.include('captured').and.include('task(').and.include('tasksFrom');
        const asynchronous = await rejectionAs(
          pool.submit(async () => {
            await Promise.resolve();
            return captured;
          }),
          ReferenceError,
        );
        expect(asynchronous.message).to.include('captured').and.include('task(').and.include('tasksFrom');
        const written = await rejectionAs(
          pool.submit(() => {
            modules.tasks = modules.missing;
          }),
          ReferenceError,
        );
        expect(written.message).to.include('modules').and.include('tasksFrom');
        expect(await settled(pool.submit(() => 1))).to.equal(1);
      });

      it('submit() takes a variable that only looks like a counter for what it is: not there', async () => {
        const pool = bench.pool();
        const cov_matrix = (x: number) => x;
        const error = await rejectionAs(
          pool.submit((x: number) => cov_matrix(x), 1),
          ReferenceError,
        );
        expect(error.message).to.include('cov_matrix').and.include('tasksFrom');
      });

      it('submit() gives functions the globals of the worker, which stay from task to task', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const count = () => {
          const state = globalThis as { count?: number };
          state.count = (state.count ?? 0) + 1;
          return state.count;
        };
        expect(await settled(Promise.all([pool.submit(count), pool.submit(count), pool.submit(count)]))).to.deep.equal([
          1, 2, 3,
        ]);
        expect((globalThis as { count?: number }).count).to.equal(undefined);
        const globals = () => [typeof URL, typeof setTimeout, typeof fetch, typeof Buffer, typeof process.version];
        expect(await settled(pool.submit(globals))).to.deep.equal(globals());
      });

      it('submit() of a generator function rejects: its result is no value', async () => {
        const pool = bench.pool();
        await rejectionOf(
          pool.submit(function* () {
            yield 1;
          }),
        );
        await rejectionOf(
          pool.submit(async function* () {
            yield await Promise.resolve(1);
          }),
        );
        expect(await settled(pool.submit(() => 1))).to.equal(1);
      });

      for (const [what, call] of Object.entries<Call>({
        'a native function': Math.max,
        'a native method': Array.prototype.push as unknown as Call,
        'a native class': Date as unknown as Call,
        'a bound function': ((a: number) => a + 1).bind(null),
        'a bound async function': (async (a: number) => Promise.resolve(a)).bind(null),
        'a proxy of a function': new Proxy((a: number) => a, {}),
      })) {
        it(`submit() throws a TypeError for ${what}`, () => {
          const pool = bench.pool();
          thrownBy(() => pool.submit(call, 1), TypeError);
          thrownBy(() => pool.with({ retries: 1 }).submit(call, 1), TypeError);
          thrownBy(() => pool.map(call, [1]), TypeError);
          expect(pool.stats()).to.include({ submitted: 0, workers: 0 });
        });
      }

      it('submit() of a class without new does not hang', async () => {
        const pool = bench.pool();
        let error: unknown;
        try {
          error = await rejectionOf(pool.submit(Sums as unknown as () => void));
        } catch (thrown) {
          error = thrown;
        }
        instance(error, TypeError);
      });

      it('submit() of a method that uses super does not hang', async () => {
        const pool = bench.pool();
        const method = (
          written('({ m() { return super.toString() } })') as unknown as {
            m: () => string;
          }
        ).m;
        let error: unknown;
        try {
          error = await rejectionOf(pool.submit(method));
        } catch (thrown) {
          error = thrown;
        }
        instance(error, Error);
        expect(await settled(pool.submit(() => 1))).to.equal(1);
      });

      it('import() of a relative path resolves as in the file that called submit()', async () => {
        const pool = bench.pool();
        const greeting = pool.submit(async (who: string) => (await import('../fixtures/greet.js')).greet(who), 'you');
        expect(await settled(greeting)).to.equal('Good morning you');
        expect(await settled(submitFromHere(pool as Executor))).to.equal('Good morning from elsewhere');
        expect(await settled(mapFromHere(pool as Executor))).to.deep.equal(['Good morning one', 'Good morning two']);
      });

      it('import() of a package resolves as in the file that called submit()', async () => {
        const pool = bench.pool();
        const kind = pool.submit(async () => typeof (await import('chai')).expect);
        expect(await settled(kind)).to.equal('function');
        const own = pool.submit(async () => (await import('concurrent-futures')).FIRST_COMPLETED);
        expect(await settled(own)).to.equal('FIRST_COMPLETED');
        const builtIn = pool.submit(async () => (await import('node:path')).posix.join('a', 'b'));
        expect(await settled(builtIn)).to.equal('a/b');
      });

      it('import() of what does not exist rejects with the error of the import', async () => {
        const pool = bench.pool();
        const error = await rejectionOf(
          pool.submit(async () => {
            const path = './no-such-file.js';
            return (await import(path)) as object;
          }),
        );
        expect(instance(error, Error).message).to.include('no-such-file.js');
        expect((error as { code?: string }).code).to.equal('ERR_MODULE_NOT_FOUND');
      });

      it('import() works in a function that is submitted through with() and map()', async () => {
        const pool = bench.pool();
        const greet = async (who: string) => (await import('../fixtures/greet.js')).greet(who);
        expect(await settled(pool.with({ priority: 1 }).submit(greet, 'A'))).to.equal('Good morning A');
        expect(await settled(pool.map(greet, ['B']))).to.deep.equal(['Good morning B']);
      });

      it('workers forget the sources that the pool has forgotten, also those that waited meanwhile', async () => {
        // They are 120 MB, of which a worker may keep a sixth.
        const pool = bench.pool({ maxWorkers: 1, workerOptions: { resourceLimits: { maxOldGenerationSizeMb: 80 } } });
        const padding = 'x'.repeat(20_000);
        const sources = Array.from(
          { length: 6000 },
          (_, i) => new Function(`return ${String(i)}; // ${padding}`) as () => number,
        );
        const sums = await settled(Promise.all(sources.map((source) => pool.submit(source))));
        expect(sums).to.deep.equal(sources.map((_, i) => i));
      });
    });

    describe('task()', () => {
      it('task() gives the function back, which can be called directly', () => {
        expect(here.add(1, 2)).to.equal(3);
        const plain = function plain() {
          return 1;
        };
        expect(task(import.meta.url, plain)).to.equal(plain);
      });

      it('submit() has the worker import the module of a tagged function', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        expect(await settled(pool.submit(here.add, 1, 2))).to.equal(3);
        expect(await settled(pool.submit(here.greetFormally, 'you'))).to.equal('Good morning you, pleased to meet you');
      });

      it('submit() keeps the module variables of a tagged function from task to task', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const counts = await settled(Promise.all([1, 2, 3].map(() => pool.submit(here.countCalls))));
        expect(counts).to.deep.equal([1, 2, 3]);
        // The same module, also when it is named from afar.
        const there = tasksFrom<typeof here>(modules.tasks);
        expect(await settled(pool.submit(there.countCalls))).to.equal(4);
      });

      it('submit() finds a tagged function that its module does not export', async () => {
        expect(await settled(bench.pool().submit(here.notExported(), 5))).to.equal(15);
      });

      it('submit() finds a tagged function that its module exports under another name', async () => {
        expect(await settled(bench.pool().submit(byDefault))).to.equal('the default export');
      });

      it('submit() rejects with an error that names module and function when the worker does not find it', async () => {
        const pool = bench.pool();
        const stray = task(modules.tasks, function notThereAtAll() {
          return 1;
        });
        const error = instance(await rejectionOf(pool.submit(stray)), Error);
        expect(error.message).to.include('tasks.js').and.include('notThereAtAll');
        expect(await settled(pool.submit(here.add, 1, 2))).to.equal(3);
      });

      it('task() throws a TypeError for what it cannot tag', () => {
        thrownBy(() => task(import.meta.url, 5 as unknown as () => void), TypeError);
        thrownBy(() => task('./relative.js', touch), TypeError);
        thrownBy(
          () =>
            task(
              import.meta.url,
              (
                () => (): number =>
                  1
              )(),
            ),
          TypeError,
        );
      });
    });

    describe('tasksFrom()', () => {
      const tasks = tasksFrom<typeof here>(modules.tasks);

      it('tasksFrom() names tagged, untagged and default exports', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        expect(await settled(pool.submit(tasks.add, 1, 2))).to.equal(3);
        expect(await settled(pool.submit(tasks.untagged, 1))).to.equal(1.5);
        expect(await settled(pool.submit(tasks.default))).to.equal('the default export');
        expect(await settled(pool.map(tasks.add, [1, 2], [3, 4]))).to.deep.equal([4, 6]);
      });

      it('tasksFrom() takes a URL as text, and URLs with data', async () => {
        const pool = bench.pool();
        const text = tasksFrom<typeof here>(modules.tasks.href);
        expect(await settled(pool.submit(text.add, 1, 2))).to.equal(3);
        const data = tasksFrom<{ twice: (x: number) => number }>(
          'data:text/javascript,export const twice = (x) => 2 * x',
        );
        expect(await settled(pool.submit(data.twice, 21))).to.equal(42);
      });

      it('tasksFrom() loads nothing here', async () => {
        const failing = tasksFrom<typeof import('../fixtures/fails-to-load.js')>(modules.failing);
        expect(failing.neverReached).to.equal(failing.neverReached);
        await Promise.resolve();
      });

      it('tasksFrom() of a missing module rejects with an error that names module and export', async () => {
        const pool = bench.pool();
        const missing = tasksFrom<{ resize: () => number }>(modules.missing);
        const error = instance(await rejectionOf(pool.submit(missing.resize)), Error);
        expect(error.message).to.include('no-such-module.js').and.include('resize');
        // Node's own message names the file of this package that imports it.
        expect(error.stack).to.match(/^Error: Cannot load the module .*no-such-module\.js/);
        expect((error.cause as Error).stack).to.match(/^Error( \[ERR_MODULE_NOT_FOUND\])?: .*no-such-module\.js/);
        const again = instance(await rejectionOf(pool.submit(missing.resize)), Error);
        expect(again.message).to.include('no-such-module.js').and.include('resize');
        expect(await settled(pool.submit(tasks.add, 1, 2))).to.equal(3);
      });

      it('tasksFrom() of a missing export rejects with an error that names module and export', async () => {
        const pool = bench.pool();
        const wrong = tasksFrom<{ resize: () => number; toString: () => string; constant: () => number }>(
          modules.tasks,
        );
        for (const key of ['resize', 'toString', 'constant'] as const) {
          const error = instance(await rejectionOf(pool.submit(wrong[key] as () => unknown)), Error);
          expect(error.message).to.include('tasks.js').and.include(key);
        }
        expect(await settled(pool.submit(tasks.add, 1, 2))).to.equal(3);
      });

      it('tasksFrom() of a module whose evaluation fails rejects with an error that says why', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const failing = tasksFrom<typeof import('../fixtures/fails-to-load.js')>(modules.failing);
        const error = instance(await rejectionOf(pool.submit(failing.neverReached)), Error);
        const whole = `${error.message} ${String(error.cause)}`;
        expect(whole).to.include('this module cannot be evaluated');
        expect(await settled(pool.submit(tasks.add, 1, 2))).to.equal(3);
      });

      it('tasksFrom() of a module that ends the worker while it is loaded counts as begun', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const exiting = tasksFrom<typeof import('../fixtures/exits-on-load.js')>(modules.exiting);
        const future = pool.submit(exiting.neverReached);
        const behind = pool.submit(tasks.add, 1, 2);
        expect(await rejectionAs(future, WorkerDiedError)).to.include({ exitCode: 3 });
        expect(await settled(behind)).to.equal(3);
      });

      for (const how of ['task', 'tasksFrom']) {
        it(`a program that submits a function of its own module, named by ${how}(), is told so by the first worker that loads it`, async () => {
          const script = new URL('../fixtures/submits-on-load.js', import.meta.url);
          const env = { KIND: capabilities.module, HOW: how };
          const { code, stdout, stderr } = await runScript(script, [], [], undefined, env);
          expect({ code, stdout }).to.deep.equal({ code: 1, stdout: '' });
          expect(stderr).to.include("'double' was submitted while a worker loads its module").and.include(script.href);
        });
      }

      it('a task may name a module that another task in its worker is loading', async () => {
        const pool = bench.pool({ maxWorkers: 1, concurrentTasksPerWorker: 2 });
        // In the URL of the module, so a file.
        using loading = new Gate(false);
        const url = new URL('../fixtures/gated-module.js', import.meta.url);
        url.searchParams.set('gate', String(loading.token));
        const first = pool.submit(tasksFrom<typeof import('../fixtures/gated-module.js')>(url).greet);
        await loading.arrived();
        const second = pool.submit(greetFromWithin, capabilities.module, url.href);
        await loading.arrived(2);
        loading.open();
        expect(await settled(Promise.all([first, second]))).to.deep.equal(['hello', 'hello']);
      });

      it('tasksFrom() throws a TypeError for what is no absolute URL', () => {
        thrownBy(() => tasksFrom('./tasks.js'), TypeError);
        thrownBy(() => tasksFrom(5 as unknown as string), TypeError);
      });

      it('a function that is forgotten while its task waits in a worker is called all the same', async function () {
        this.timeout(40_000);
        const pool = bench.pool({ maxWorkers: 1 });
        const make = (i: number) => (0, eval)(`() => ${String(i)}`) as () => number;
        await settled(pool.submit(make(-1)));
        const gate = bench.gate();
        const blocked = pool.submit(passGate, gate.token, 5);
        await gate.arrived();
        // More than an executor remembers.
        const futures = Array.from({ length: 1200 }, (_, i) => pool.submit(make(i)));
        gate.open();
        expect(await settled(blocked)).to.equal(5);
        expect(await settled(Promise.all(futures))).to.deep.equal(futures.map((_, i) => i));
      });

      it('a reference called directly throws a TypeError that says what it is for', () => {
        const error = thrownBy(() => tasks.add(1, 2), TypeError);
        expect(error.message).to.include('add').and.include('submit');
      });
    });
  });
}
