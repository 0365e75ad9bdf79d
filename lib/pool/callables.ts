import { callerFile } from '#host';
import { type AnyFunction, checkRecursion, nameOf } from '../callable.js';
import { show } from '../options.js';
import { SubmitSite } from '../site.js';
import type { Definition } from '../wire/protocol.js';
import type { TaskOwner } from './task.js';

/** A callable as an executor knows it. */
export class Callable {
  /** Whose tasks call it. */
  readonly owner: TaskOwner;
  /** The name under which guests know it. */
  readonly id: number;
  readonly definition: Definition;
  /** About how long its tasks run, in ms; undefined until one has ended. */
  estimate: number | undefined;
  /** The pool remembers it no more: workers need not, once they have ended its tasks. */
  forgotten = false;
  /**
   * Where it was submitted last, as far as that was recorded. Not held: until somebody reads it, a stack holds the objects
   * whose methods were under way.
   */
  site: WeakRef<SubmitSite> | undefined;

  constructor(owner: TaskOwner, id: number, definition: Definition) {
    this.owner = owner;
    this.id = id;
    this.definition = definition;
  }

  get name(): string {
    return this.definition.name;
  }

  /**
   * Learns from a task that has ended. Rises fast and falls slowly, because a batch that turns out slow costs more than
   * one that was too small.
   */
  learn(ms: number): void {
    const { estimate } = this;
    this.estimate = estimate === undefined ? ms : estimate + (ms - estimate) * (ms > estimate ? 0.25 : 0.1);
  }
}

/** A function that is submitted again and again by this package, for the file that gave it: `import()` in it means that file. */
export class PinnedCallable {
  readonly callable: AnyFunction;
  readonly file: string | undefined;
  /** Where it was given: each of its tasks is submitted on behalf of that place. */
  readonly site = new SubmitSite();
  /** What the executor has made of it. */
  known: Callable | undefined;

  /** @throws TypeError when it is no function */
  constructor(callable: unknown, owner: string) {
    if (typeof callable !== 'function') throw new TypeError(`${owner} needs a handler: received ${show(callable)}`);
    this.callable = callable as AnyFunction;
    this.file = callerFile();
    // Now, for it stays: see `Callable.site`.
    this.site.lines();
  }
}

/** Sources kept; beyond that the oldest is forgotten, here and in the workers. Programs have far fewer. */
const MOST_SOURCES = 1000;

/** The callables of one executor: the same function gets the same id. */
export class CallableRegistry {
  readonly #byFunction = new WeakMap<object, Callable>();
  readonly #byText = new Map<string, Callable>();
  readonly #owner: TaskOwner;
  readonly #onForget: (callable: Callable) => void;
  #nextId = 1;
  /** What was asked for last in this turn: most often the same is asked for next. */
  #last: unknown;
  #lastCallable: Callable | undefined;

  constructor(owner: TaskOwner, onForget: (callable: Callable) => void) {
    this.#owner = owner;
    this.#onForget = onForget;
  }

  /** @throws TypeError when a worker cannot call it */
  get(callable: unknown, isClass = false): Callable {
    if (typeof callable !== 'function') {
      if (callable instanceof PinnedCallable) return this.#pinned(callable);
      throw new TypeError(`submit needs a function: received ${show(callable)}`);
    }
    if (callable === this.#last && !isClass) return this.#lastCallable as Callable;
    const known = this.#byFunction.get(callable);
    if (known !== undefined && !known.forgotten && suits(known, isClass)) {
      if (!isClass) {
        this.#last = callable;
        this.#lastCallable = known;
      }
      return known;
    }
    return this.#find(callable as AnyFunction, isClass);
  }

  /** It is asked for by each of its tasks: its source is read once. */
  #pinned(pinned: PinnedCallable): Callable {
    const { known } = pinned;
    if (known?.owner === this.#owner && !known.forgotten) return known;
    return (pinned.known = this.#find(pinned.callable, false, pinned.file));
  }

  #find(callable: AnyFunction, isClass: boolean, file?: string): Callable {
    const name = nameOf(callable);
    if (name !== undefined) {
      checkRecursion(name);
      const made = this.#intern(`${String(name.url)}#${name.name}`, { kind: 'named', ...name });
      this.#byFunction.set(callable, made);
      return made;
    }
    const source = Function.prototype.toString.call(callable);
    // The same function may be submitted from two files, and `import()` in it means the file of each.
    const base = source.includes('import') ? (file ?? callerFile()) : undefined;
    const key = base === undefined ? source : `${base}\n${source}`;
    const made = this.#byText.get(key);
    if (made !== undefined && suits(made, isClass)) return made;
    const label = labelOf(callable);
    return this.#intern(key, { kind: 'source', name: label, source: checkSource(label, source, isClass), base });
  }

  /** Lets go of what was only remembered for a row of submissions. */
  endTurn(): void {
    this.#last = undefined;
    this.#lastCallable = undefined;
  }

  #intern(key: string, definition: Definition): Callable {
    let callable = this.#byText.get(key);
    if (callable === undefined) {
      callable = new Callable(this.#owner, this.#nextId++, definition);
      this.#byText.set(key, callable);
      if (this.#byText.size > MOST_SOURCES) {
        for (const [oldest, forgotten] of this.#byText) {
          this.#byText.delete(oldest);
          forgotten.forgotten = true;
          this.#onForget(forgotten);
          break;
        }
      }
    }
    return callable;
  }
}

/**
 * What a worker has to know of a function to call it.
 *
 * @param owner - of this package, whose caller gave it
 * @throws TypeError when a worker cannot call it
 */
export function definitionOf(callable: unknown, owner: string): Definition {
  const registry = new CallableRegistry({ withdraw: () => false }, () => undefined);
  return registry.get(new PinnedCallable(callable, owner)).definition;
}

/** A name may stand for a function or a class; a source shows which. */
function suits({ definition }: Callable, isClass: boolean): boolean {
  return definition.kind === 'named' || isClassSource(definition.source) === isClass;
}

function isClassSource(source: string): boolean {
  return /^class\b/.test(source);
}

const ANONYMOUS = '(anonymous)';

/** A class may have a static member called `name` that is anything. */
function labelOf(callable: AnyFunction): string {
  const { name } = callable as { name: unknown };
  return typeof name === 'string' && name !== '' ? name : ANONYMOUS;
}

function checkSource(label: string, source: string, isClass: boolean): string {
  if (/\{\s*\[native code\]\s*\}\s*$/.test(source)) {
    throw new TypeError(
      `${label === ANONYMOUS ? 'The function' : label} is native or bound: it has no source to send. ` +
        'Wrap it in an arrow function, or name it with task() or tasksFrom()',
    );
  }
  if (isClassSource(source) !== isClass) {
    throw new TypeError(
      isClass
        ? `create needs a class: ${label} is a function`
        : `${label} is a class and cannot be called: use executor.create(${label}, ...)`,
    );
  }
  return source;
}
