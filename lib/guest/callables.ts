import { compile, importModule } from '#guest';
import { findTagged, whileLoading } from '../callable.js';
import type { Definition } from '../wire/protocol.js';

type AnyFunction = (...args: unknown[]) => unknown;

/** A callable in its worker: found or compiled when first called. */
export class GuestCallable {
  readonly definition: Definition;
  /** The function, once it is there. */
  call: AnyFunction | undefined;
  /** ms that its last call held the thread; the first one may hold it for long. */
  held = Infinity;
  /** ms that its calls held the thread at most, of late. */
  peak = 0;
  /** How many of the next results are too large to be packed, as far as can be guessed. */
  misfits = 0;
  readonly #exposed: object;
  #loading: Promise<AnyFunction> | undefined;

  constructor(definition: Definition, exposed: object) {
    this.definition = definition;
    this.#exposed = exposed;
  }

  /**
   * The function, at once or after its module has been loaded. Throws or rejects when there is none.
   *
   * @param isAlone - whether no other task runs in this thread at that moment
   */
  load(isAlone: () => boolean): AnyFunction | Promise<AnyFunction> {
    const { definition } = this;
    if (definition.kind === 'source') {
      this.call = compile(definition.source, definition.base) as AnyFunction;
      return this.call;
    }
    const { name, url } = definition;
    if (url === undefined) {
      this.call = checkFunction(ownProperty(this.#exposed, name), name, 'what the worker exposes');
      return this.call;
    }
    this.#loading ??= this.#import(url, name, isAlone);
    return this.#loading;
  }

  async #import(url: string, name: string, isAlone: () => boolean): Promise<AnyFunction> {
    let module: object;
    try {
      module = await whileLoading(url, isAlone, () => importModule(url));
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new Error(`Cannot load the module ${url} of the task '${name}': ${reason}`, { cause });
    }
    // Functions that `task` tagged are found by their name even when they are not exported.
    this.call = checkFunction(findTagged({ url, name }) ?? ownProperty(module, name), name, `the module ${url}`);
    return this.call;
  }
}

function ownProperty(holder: object, name: string): unknown {
  return Object.hasOwn(holder, name) ? (holder as Record<string, unknown>)[name] : undefined;
}

function checkFunction(found: unknown, name: string, where: string): AnyFunction {
  if (typeof found === 'function') return found as AnyFunction;
  throw new TypeError(
    found === undefined
      ? `There is no function '${name}' in ${where}: export it, or tag it with task()`
      : `'${name}' in ${where} is not a function but ${found === null ? 'null' : typeof found}`,
  );
}

/**
 * Adds to a ReferenceError of a function sent by its source what its author has to know: the variables around it stayed
 * at home.
 */
export function explainReferenceError(error: unknown, callable: GuestCallable): void {
  try {
    explain(error, callable);
  } catch {
    // What was thrown resists: a revoked proxy, a frozen error. It goes as it is.
  }
}

function explain(error: unknown, { definition }: GuestCallable): void {
  if (definition.kind !== 'source' || !(error instanceof ReferenceError)) return;
  const told =
    `${error.message}. The function ${definition.name} was sent by its source, so it sees its arguments and the worker's ` +
    'globals, not the variables around it: pass what it needs as an argument, or send the function by name, ' +
    'with task(import.meta.url, fn) or tasksFrom(url)';
  const { stack, message } = error;
  error.message = told;
  if (stack !== undefined) error.stack = stack.replace(message, () => told);
}
