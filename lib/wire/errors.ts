import * as ownErrors from '../errors.js';
import { describe } from '../options.js';

/**
 * Errors on the wire. Structured cloning keeps little of an error, so each is taken apart into flat nodes that refer to
 * each other by position: causes may be deep, and cyclic.
 */

type Ref = number;
type Node =
  | { kind: 'value'; value: unknown }
  | { kind: 'array'; length: number; entries: [string, Ref][] }
  | { kind: 'object'; entries: [string, Ref][] }
  | {
      kind: 'error';
      /** Names of its classes, from the most derived one up. */
      classes: string[];
      message: string;
      stack: string | undefined;
      /** Own properties, `cause` and `errors` among them; the flag says whether the property is enumerable. */
      entries: [string, Ref, boolean][];
      /** What its class gives it, and the class may not be known on the other side: its name and code. */
      inherited: [string, string | number][];
    };

/** Objects taken along at most. A getter may give a new one each time, so that there is no end to what can be reached. */
const MOST_OBJECTS = 200_000;

/** Whatever was thrown, ready to be cloned. */
export interface WireError {
  /** The first node is what was thrown. */
  nodes: Node[];
}

type ErrorClass = new (...args: never[]) => Error;

const BUILT_IN: readonly ErrorClass[] = [
  Error,
  TypeError,
  RangeError,
  SyntaxError,
  ReferenceError,
  EvalError,
  URIError,
  AggregateError,
];
const classes = new Map<string, ErrorClass>(
  [...BUILT_IN, ...(Object.values(ownErrors) as unknown as ErrorClass[])].map((known) => [known.name, known]),
);

/**
 * Makes errors of a class of your own arrive as that class. Call it on both sides, with classes of the same name: in the
 * worker, in the module of the tasks. The error is not constructed anew: it gets the class's prototype and its own
 * properties.
 *
 * @throws TypeError when `errorClass` is not a class derived from Error, or has no name
 *
 * @example
 * ```ts
 * import { registerErrorClass } from 'concurrent-futures';
 *
 * export class ParseError extends Error { line = 0; }
 * registerErrorClass(ParseError);
 * ```
 */
export function registerErrorClass(errorClass: new (...args: never[]) => Error): void {
  const given: unknown = errorClass;
  if (typeof given !== 'function' || !(given.prototype instanceof Error) || given.name === '') {
    throw new TypeError('registerErrorClass needs a named class derived from Error');
  }
  classes.set(errorClass.name, errorClass);
}

/** Takes apart whatever was thrown. Never throws: what cannot be read or cloned is replaced by a description. */
export function encodeError(thrown: unknown): WireError {
  const nodes: Node[] = [];
  const known = new Map<object, Ref>();
  // A worklist and not recursion: a chain of causes may be deeper than the stack.
  const work: (() => void)[] = [];

  const refer = (value: unknown): Ref => {
    if (typeof value === 'object' && value !== null) {
      const ref = known.get(value);
      if (ref !== undefined) return ref;
      known.set(value, nodes.length);
    }
    return encode(value);
  };

  const encode = (value: unknown): Ref => {
    const ref = nodes.length;
    const placeholder: Node = { kind: 'value', value: undefined };
    nodes.push(placeholder);
    if (typeof value === 'function' || typeof value === 'symbol') {
      nodes[ref] = { kind: 'value', value: `[${describe(value)}]` };
    } else if (typeof value === 'object' && value !== null) {
      if (known.size > MOST_OBJECTS) {
        nodes[ref] = { kind: 'value', value: `[${describe(value)}]` };
        return ref;
      }
      work.push(() => {
        try {
          nodes[ref] = takeApart(value);
        } catch {
          nodes[ref] = { kind: 'value', value: `[${describe(value)}]` };
        }
      });
    } else {
      nodes[ref] = { kind: 'value', value };
    }
    return ref;
  };

  const takeApart = (value: object): Node => {
    if (isError(value)) {
      const stack = read(value, 'stack');
      return {
        kind: 'error',
        classes: classNames(value),
        message: text(read(value, 'message')),
        stack: typeof stack === 'string' ? stack : undefined,
        entries: Object.getOwnPropertyNames(value)
          .filter((key) => key !== 'stack' && key !== 'message')
          .map((key) => [
            key,
            refer(read(value, key)),
            Object.getOwnPropertyDescriptor(value, key)?.enumerable === true,
          ]),
        inherited: ['name', 'code'].flatMap((key) => {
          const found = Object.hasOwn(value, key) ? undefined : read(value, key);
          return typeof found === 'string' || typeof found === 'number' ? [[key, found]] : [];
        }),
      };
    }
    if (Array.isArray(value)) {
      // By its keys, because it may be sparse.
      const keys = Object.keys(value);
      return { kind: 'array', length: value.length, entries: keys.map((key) => [key, refer(read(value, key))]) };
    }
    if (Object.prototype.toString.call(value) === '[object Object]') {
      return { kind: 'object', entries: Object.keys(value).map((key) => [key, refer(read(value, key))]) };
    }
    return { kind: 'value', value: structuredClone(value) };
  };

  refer(thrown);
  for (let step = work.pop(); step !== undefined; step = work.pop()) step();
  return { nodes };
}

/** Puts together what `encodeError` took apart. */
export function decodeError({ nodes }: WireError): unknown {
  const values = nodes.map((node) => {
    switch (node.kind) {
      case 'value':
        return node.value;
      case 'array':
        return Object.assign([], { length: node.length });
      case 'object':
        return {};
      case 'error':
        return revive(node);
    }
  });
  nodes.forEach((node, i) => {
    const value = values[i];
    if (node.kind === 'array' || node.kind === 'object') {
      for (const [key, ref] of node.entries) define(value as object, key, values[ref], true);
    } else if (node.kind === 'error') {
      const error = value as Error;
      for (const [key, ref, enumerable] of node.entries) define(error, key, values[ref], enumerable);
      for (const [key, inherited] of node.inherited) {
        if (read(error, key) !== inherited) define(error, key, inherited, false);
      }
      // Never the stack of this place.
      define(error, 'stack', node.stack ?? `${text(read(error, 'name'))}: ${node.message}`, false);
    }
  });
  return values[0];
}

function revive({ classes: names, message, inherited }: Extract<Node, { kind: 'error' }>): Error {
  const found = names.map((name) => classes.get(name)).find((known) => known !== undefined) ?? Error;
  // Made by the built-in class, so that it is an error to the engine, then given the prototype of its own class: a
  // constructor of somebody's own may want arguments that nobody knows here.
  const builtIn = BUILT_IN.filter((known) => found === known || found.prototype instanceof known).at(-1) ?? Error;
  let error: Error;
  let prototype: unknown = found.prototype;
  if (names.includes('DOMException')) {
    error = new DOMException(message, inherited.find(([key]) => key === 'name')?.[1] as string | undefined);
    if (!(prototype instanceof DOMException)) prototype = DOMException.prototype;
  } else {
    error = Reflect.construct(builtIn, builtIn === (AggregateError as ErrorClass) ? [[], message] : [message]) as Error;
  }
  if (Object.getPrototypeOf(error) !== prototype) Object.setPrototypeOf(error, prototype as object);
  if (error.message !== message) define(error, 'message', message, false);
  return error;
}

function isError(value: object): boolean {
  return (
    value instanceof Error ||
    (typeof DOMException === 'function' && value instanceof DOMException) ||
    Object.prototype.toString.call(value) === '[object Error]'
  );
}

function classNames(error: object): string[] {
  const names: string[] = [];
  for (let at: unknown = Object.getPrototypeOf(error); at !== null; at = Object.getPrototypeOf(at)) {
    const constructor = Object.hasOwn(at as object, 'constructor') ? read(at as object, 'constructor') : undefined;
    if (typeof constructor !== 'function' || constructor === Object) continue;
    const name = read(constructor, 'name');
    if (typeof name === 'string') names.push(name);
  }
  return names;
}

/** A property's value, also from a getter that throws. */
function read(value: object, key: string): unknown {
  try {
    return (value as Record<string, unknown>)[key];
  } catch (error) {
    return `[a property that throws: ${text(error)}]`;
  }
}

function text(value: unknown): string {
  try {
    return String(value);
  } catch {
    return describe(value);
  }
}

function define(target: object, key: string, value: unknown, enumerable: boolean): void {
  // Defined and not assigned: no setter of a prototype is called, and '__proto__' is a key like another.
  Object.defineProperty(target, key, { value, enumerable, configurable: true, writable: true });
}
