/**
 * Makes a function of its source, as `Function.prototype.toString` gives it: functions, arrows and classes are expressions,
 * methods become one in an object.
 *
 * @param evaluate - evaluates a script in the global scope
 */
export function wrapSource(source: string, evaluate: (text: string) => unknown): unknown {
  const names = marks(source);
  const stubs = names.map((name) => (name === '__name' ? keepName : () => COUNTERS));
  const make = (expression: string) => {
    const factory = evaluate(`(function(${names.join(', ')}) { 'use strict'; return (${expression}\n); })`);
    return (factory as (...stubs: unknown[]) => unknown)(...stubs);
  };
  try {
    return make(source);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return methodOf(make, source, error);
  }
}

function methodOf(make: (expression: string) => unknown, source: string, reason: SyntaxError): unknown {
  let holder: object;
  try {
    holder = make(`{ ${source} }`) as object;
  } catch {
    throw reason;
  }
  const [key] = Reflect.ownKeys(holder);
  return key === undefined ? undefined : (holder as Record<PropertyKey, unknown>)[key];
}

/** Calls that build tools and coverage tools put into functions, to things that stayed at home. */
function marks(source: string): string[] {
  return [...new Set(source.match(/\b(?:__name|cov_\w+)(?=\()/g))];
}

/** What esbuild's `__name(fn, 'name')` does. */
function keepName(target: object, value: string): object {
  return Object.defineProperty(target, 'name', { value, configurable: true });
}

/** Stands for istanbul's counters, at any depth: counts nothing. */
const COUNTERS: object = new Proxy(Object.create(null) as object, {
  get: (_target, key) => (key === Symbol.toPrimitive ? () => 0 : COUNTERS),
  set: () => true,
});
