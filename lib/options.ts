/**
 * Reading options: own properties only, so that a polluted `Object.prototype` configures nothing, and checks whose errors
 * name the option, the bound and the value received.
 */

/** A copy of the caller's own options without a prototype; empty when none were given. */
export function readOptions<O extends object>(given: O | undefined, owner: string): Partial<O> {
  if (given !== undefined && (typeof given !== 'object' || (given as unknown) === null)) {
    throw new TypeError(`The options of ${owner} must be an object: received ${show(given)}`);
  }
  return Object.assign(Object.create(null) as Partial<O>, given);
}

/** Checks a whole number of at least `least`; `Infinity` passes only where `unlimited` says so. */
export function checkCount(value: unknown, name: string, least: number, unlimited = false): number {
  if (typeof value !== 'number') throw new TypeError(`'${name}' must be a number: received ${show(value)}`);
  if (value < least || !(Number.isSafeInteger(value) || (unlimited && value === Infinity))) {
    throw new RangeError(`'${name}' must be a whole number of at least ${String(least)}: received ${show(value)}`);
  }
  return value;
}

/** Checks a span of ms; `Infinity` means for ever. */
export function checkDuration(value: unknown, name: string): number {
  if (typeof value !== 'number') throw new TypeError(`'${name}' must be a number of ms: received ${show(value)}`);
  if (!(value >= 0)) throw new RangeError(`'${name}' must be a number of ms of at least 0: received ${show(value)}`);
  return value;
}

/** Checks that a value is a function, where it is given. */
export function checkFunction(value: unknown, name: string): void {
  if (value !== undefined && typeof value !== 'function') {
    throw new TypeError(`'${name}' must be a function: received ${show(value)}`);
  }
}

/** Checks that a value is an AbortSignal, where it is given. */
export function checkSignal(value: unknown, name = 'signal'): void {
  if (value !== undefined && !(value instanceof AbortSignal)) {
    throw new TypeError(`'${name}' must be an AbortSignal: received ${show(value)}`);
  }
}

/** A value as an error message names it: short, and safe for every value. */
export function show(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value.length > 60 ? `${value.slice(0, 57)}...` : value);
    case 'object':
      return value === null ? 'null' : `an object (${Object.prototype.toString.call(value).slice(8, -1)})`;
    case 'function':
      return 'a function';
    default:
      return String(value);
  }
}

/** Any value as text, without its contents. Never throws. */
export function describe(value: unknown): string {
  try {
    if (typeof value === 'function') {
      // Its own name, because to ask a Comlink proxy for one is a call.
      const name: unknown = Object.getOwnPropertyDescriptor(value, 'name')?.value;
      return typeof name === 'string' && name !== '' ? `the function ${name}` : 'a function';
    }
    if (typeof value === 'symbol') return value.toString();
    const tag = Object.prototype.toString.call(value).slice(8, -1);
    return `an object of class ${tag === 'Object' ? nameOfClass(value as object) : tag}`;
  } catch {
    return 'an object that cannot be described';
  }
}

/** Most classes, those of Node among them, give their objects no tag. */
function nameOfClass(value: object): string {
  const prototype = Object.getPrototypeOf(value) as { constructor?: { name?: unknown } } | null;
  const name = prototype?.constructor?.name;
  return typeof name === 'string' && name !== '' ? name : 'Object';
}
