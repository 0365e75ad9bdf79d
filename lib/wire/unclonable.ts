import { describe } from '../options.js';

/** Finding what in a value structured cloning refuses, for errors that say where it is. */

/** What cannot be cloned, and the way to it from the value: '' for the value itself. */
export interface Unclonable {
  path: string;
  what: string;
  cause: unknown;
}

const IDENTIFIER = /^[A-Za-z_$][\w$]*$/;

/** Parts looked at, at most: a getter may give a new object each time, so that there is no end to them. */
const MOST_PARTS = 200_000;

/**
 * The first part of a value that cannot be cloned; undefined when each part can be by itself.
 *
 * @param clone - throws for what cannot be sent by the way in question, which may be able to do less than structured cloning
 */
export function findUnclonable(
  root: unknown,
  transfer: readonly unknown[] = [],
  clone: (value: unknown) => unknown = structuredClone,
): Unclonable | undefined {
  const seen = new Set<unknown>(transfer);
  // A worklist, because values may be nested deeper than the stack.
  const work: { value: unknown; path: string }[] = [{ value: root, path: '' }];
  for (let item = work.pop(); item !== undefined && seen.size < MOST_PARTS; item = work.pop()) {
    const { value, path } = item;
    if (typeof value === 'function' || typeof value === 'symbol') {
      return { path, what: describe(value), cause: undefined };
    }
    if (typeof value !== 'object' || value === null || seen.has(value)) continue;
    seen.add(value);
    const children: { value: unknown; path: string }[] = [];
    let at = path;
    try {
      if (value instanceof Map) {
        for (const [key, entry] of value) {
          children.push({ value: key, path: `${path}.keys()` }, { value: entry, path: `${path}.get(${label(key)})` });
        }
      } else if (value instanceof Set) {
        for (const entry of value) children.push({ value: entry, path: `${path}.values()` });
      } else if (isContainer(value)) {
        for (const key of Object.keys(value)) {
          at = step(path, key, Array.isArray(value));
          children.push({ value: (value as Record<string, unknown>)[key], path: at });
        }
      } else {
        clone(value);
      }
    } catch (cause) {
      return { path: at, what: at === path ? describeMemory(value) : 'a property that throws when it is read', cause };
    }
    for (const child of children.reverse()) work.push(child);
  }
  return undefined;
}

/** What a value is, with why its memory cannot be sent if that is why. */
function describeMemory(value: object): string {
  const description = describe(value);
  try {
    const buffer = ArrayBuffer.isView(value) ? value.buffer : value;
    if (typeof SharedArrayBuffer === 'function' && buffer instanceof SharedArrayBuffer) {
      return buffer === value ? description : `${description} over shared memory`;
    }
    if (buffer instanceof ArrayBuffer && buffer.byteLength === 0 && isDetached(buffer)) {
      return `${description} whose memory was moved before`;
    }
  } catch {
    // A proxy that resists.
  }
  return description;
}

function isDetached(buffer: ArrayBuffer): boolean {
  try {
    return new Uint8Array(buffer).length > 0;
  } catch {
    return true;
  }
}

/** Objects that are cloned property by property. */
export function isContainer(value: object): boolean {
  if (Array.isArray(value)) return true;
  if (Object.prototype.toString.call(value) !== '[object Object]') return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  // Platform objects without a tag are rare; a user's own class instances are cloned as plain objects.
  return prototype === null || prototype === Object.prototype || !isNative((prototype as object).constructor);
}

function isNative(constructor: unknown): boolean {
  return typeof constructor === 'function' && Function.prototype.toString.call(constructor).includes('[native code]');
}

function step(path: string, key: string, inArray: boolean): string {
  if (inArray && /^\d+$/.test(key)) return `${path}[${key}]`;
  return IDENTIFIER.test(key) ? `${path}.${key}` : `${path}[${JSON.stringify(key)}]`;
}

function label(key: unknown): string {
  if (typeof key === 'string') return JSON.stringify(key);
  return typeof key === 'number' || typeof key === 'bigint' ? String(key) : `a ${typeof key}`;
}

/** What an error says. Of one that resists, such as a revoked proxy that somebody threw, nothing. */
function reasonOf(cause: unknown): string {
  try {
    return cause instanceof Error ? `: ${cause.message}` : '';
  } catch {
    return '';
  }
}

/** The `DataCloneError` for a value that did not go; `where` is as in "argument 2 of resize". */
export function cloneError(where: string, found: Unclonable | undefined, cause: unknown): DOMException {
  const reason = reasonOf(cause);
  const message =
    found === undefined
      ? `${where} cannot be cloned${reason}`
      : `${where} cannot be cloned: ${found.path === '' ? 'it' : `its ${found.path}`} is ${found.what}; ` +
        'send plain data, or wrap it in proxy() or transfer()';
  const error = new DOMException(message, 'DataCloneError');
  Object.defineProperty(error, 'cause', { value: found?.cause ?? cause, configurable: true, writable: true });
  return error;
}
