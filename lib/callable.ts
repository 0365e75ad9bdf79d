import { show } from './options.js';

/**
 * How functions are named so that a worker finds them: the tags that `task` and `tasksFrom` put on them. The keys are
 * registered symbols, so that two copies of this package in one program understand each other.
 */
const TAG = Symbol.for('concurrent-futures.callable');
const REGISTRY = Symbol.for('concurrent-futures.tasks');
const LOADING = Symbol.for('concurrent-futures.loading');

/** Where a worker finds a function: in a module, or among those that the worker's own file exposed (no url). */
export interface CallableName {
  readonly url: string | undefined;
  readonly name: string;
}

/** Any function, whatever its arguments. */
export type AnyFunction = (...args: never[]) => unknown;

/** The name that `task` or `tasksFrom` gave to a function; undefined for a plain function. */
export function nameOf(callable: object): CallableName | undefined {
  // An own property: neither a polluted Function.prototype nor a base class names a function.
  return Object.hasOwn(callable, TAG) ? (callable as { [TAG]: CallableName })[TAG] : undefined;
}

/** The functions that `task` tagged in this thread, by module and name; found there also when they are not exported. */
function registry(): Map<string, unknown> {
  const holder = globalThis as { [REGISTRY]?: Map<string, unknown> };
  return (holder[REGISTRY] ??= new Map());
}

/** The function tagged with this name in this thread, once its module is loaded. */
export function findTagged({ url, name }: CallableName): unknown {
  return registry().get(`${String(url)}#${name}`);
}

/** The modules that this thread, a worker, is loading because tasks name them; each tells whether no task runs meanwhile. */
function loading(): Map<string, () => boolean> {
  const holder = globalThis as { [LOADING]?: Map<string, () => boolean> };
  return (holder[LOADING] ??= new Map());
}

/** Loads a module because a task names it. What the module submits at its top level is looked at meanwhile. */
export async function whileLoading<T>(url: string, isAlone: () => boolean, load: () => Promise<T>): Promise<T> {
  loading().set(url, isAlone);
  try {
    return await load();
  } finally {
    loading().delete(url);
  }
}

/**
 * Throws when a module that is being loaded in a worker, because a task names it, submits such a task itself: the worker of
 * that one would load it again and submit again, until no process or thread can be started any more. Python throws in the
 * same place, while a new process imports the main module.
 */
export function checkRecursion({ url, name }: CallableName): void {
  if (!isRecursion(url)) return;
  throw new Error(
    `'${name}' was submitted while a worker loads its module ${String(url)} to find it, so each worker would start another ` +
      'one. Keep what submits out of the top level of modules with tasks: put the tasks in a module of their own',
  );
}

/** Whether it is a module that this thread is loading for others that now asks for others to load it. */
export function isRecursion(url: string | undefined): boolean {
  const isAlone = url === undefined ? undefined : loading().get(url);
  // Another task may name it, too, in good faith.
  return url !== undefined && isAlone !== undefined && (isAlone() || submittedIn(url));
}

function submittedIn(url: string): boolean {
  return String(new Error().stack).includes(url);
}

/**
 * Tags a function (or a class) so that executors send it by name, as Python sends functions: the worker imports the module and calls the
 * function there, with its imports and module variables. Called directly, the function just runs here.
 *
 * @param url - `import.meta.url` of the module that the call stands in
 * @param callable - a named function or class
 * @returns the same function
 * @throws TypeError when the function has no name, or `url` is none
 *
 * @example
 * ```ts
 * // tasks.js
 * import { task } from 'concurrent-futures';
 *
 * export const double = task(import.meta.url, function double(x: number) { return x * 2; });
 *
 * // main.js: executor.submit(double, 21)
 * ```
 */
export function task<F extends AnyFunction | (abstract new (...args: never[]) => object)>(
  url: string | URL,
  callable: F,
): F {
  if (typeof callable !== 'function') throw new TypeError(`task needs a function: received ${show(callable)}`);
  if (callable.name === '') {
    throw new TypeError(
      'task needs a named function, because the worker finds it by its name: give it one. ' +
        'If it has one, a minifier took it away: name a function declaration instead, or have names kept',
    );
  }
  const name: CallableName = { url: checkUrl(url, 'task'), name: callable.name };
  registry().set(`${String(name.url)}#${name.name}`, callable);
  Object.defineProperty(callable, TAG, { value: name, configurable: true });
  return callable;
}

/** The functions and classes of a module, seen from a thread that has not loaded it. */
export type TasksOf<M> = {
  readonly [K in keyof M as M[K] extends AnyFunction | (abstract new (...args: never[]) => object) ? K : never]: M[K];
};

/**
 * Names the exports of a module without loading it here: `executor.submit(tasks.resize, ...)` has the worker import it.
 *
 * @param url - the module, or nothing for what a worker of your own exposed with `expose`
 * @returns an object whose properties are references to the exports; a reference can be submitted, not called
 * @throws TypeError when `url` is no absolute URL
 *
 * @example
 * ```ts
 * import { tasksFrom, ThreadPoolExecutor } from 'concurrent-futures';
 *
 * const tasks = tasksFrom<typeof import('./tasks.js')>(new URL('./tasks.js', import.meta.url));
 * const executor = new ThreadPoolExecutor();
 * console.log(await executor.submit(tasks.double, 21)); // 42
 * ```
 */
export function tasksFrom<M>(url?: string | URL): TasksOf<M> {
  const checked = url === undefined ? undefined : checkUrl(url, 'tasksFrom');
  const references = new Map<string, unknown>();
  return new Proxy(Object.create(null) as TasksOf<M>, {
    get(_target, key) {
      // `then` would make the object look like a promise to `await`.
      if (typeof key === 'symbol' || key === 'then') return undefined;
      let reference = references.get(key);
      if (reference === undefined) {
        reference = makeReference({ url: checked, name: key });
        references.set(key, reference);
      }
      return reference;
    },
  });
}

function makeReference(name: CallableName): unknown {
  // A function, and not an arrow, so that references to classes pass where a constructor is asked for.
  const reference = function () {
    const module = name.url === undefined ? 'in a worker of your own' : `in ${name.url}`;
    throw new TypeError(`'${name.name}' is only a reference to a function ${module}: submit it to an executor`);
  };
  Object.defineProperty(reference, 'name', { value: name.name, configurable: true });
  Object.defineProperty(reference, TAG, { value: name });
  return reference;
}

function checkUrl(url: unknown, action: string): string {
  const text = url instanceof URL ? url.href : url;
  if (typeof text !== 'string' || !URL.canParse(text)) {
    throw new TypeError(
      `${action} needs an absolute URL, such as new URL('./tasks.js', import.meta.url): received ${show(url)}`,
    );
  }
  return text;
}
