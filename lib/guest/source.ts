/**
 * Makes a function of its source, as `Function.prototype.toString` gives it: functions, arrows and classes are expressions,
 * methods become one in an object.
 *
 * @param evaluate - evaluates a script in the global scope
 */
export function wrapSource(source: string, evaluate: (text: string) => unknown): unknown {
  const names = marks(source);
  const stubs = names.map((name) => (name.startsWith('__name') ? keepName : COUNTERS));
  const make = (expression: string) => {
    const factory = evaluate(`(function(${names.join(', ')}) { 'use strict'; return (${expression}\n); })`);
    return (factory as (...stubs: unknown[]) => unknown)(...stubs);
  };
  let made: unknown;
  try {
    made = make(source);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    made = methodOf(make, source, error);
  }
  if (typeof made !== 'function') throw new TypeError(`The source of the task gives no function: ${source}`);
  return made;
}

function methodOf(make: (expression: string) => unknown, source: string, reason: SyntaxError): unknown {
  let holder: object;
  try {
    // A private method has to drop its mark outside its class.
    holder = make(`{ ${source.replace(/^((?:(?:async|get|set)\s+)?\*?\s*)#/, '$1')} }`) as object;
  } catch {
    throw reason;
  }
  const [key] = Reflect.ownKeys(holder);
  const property: { value?: unknown; get?: unknown; set?: unknown } | undefined =
    key === undefined ? undefined : Object.getOwnPropertyDescriptor(holder, key);
  return property?.value ?? property?.get ?? property?.set;
}

/** Calls that build tools and coverage tools put into functions, to things that stayed at home. */
function marks(source: string): string[] {
  return [...new Set(source.match(/\b(?:__name\d*(?=\()|cov_\w+(?=(?:\(\))?\.[sfb]\[))/g))];
}

/** What esbuild's `__name(fn, 'name')` does. */
function keepName(target: object, value: string): object {
  return Object.defineProperty(target, 'name', { value, configurable: true });
}

/** Stands for istanbul's counters, and for the function that gives them, at any depth: counts nothing. */
const COUNTERS: object = new Proxy(() => COUNTERS, {
  get: (_target, key) => (key === Symbol.toPrimitive ? () => 0 : COUNTERS),
  set: () => true,
});
