import { ReadableStream, TransformStream, WritableStream } from 'node:stream/web';
import { MessagePort } from 'node:worker_threads';
import { isContainer } from '../wire/unclonable.js';

/** A copy of a message in which some objects are replaced. */
export function substitute(message: unknown, replace: (value: object) => unknown): unknown {
  const copies = new Map<object, unknown>();
  const reaches = reachOf((value) => replace(value) !== undefined);
  const visit = (value: unknown): unknown => {
    if (typeof value !== 'object' || value === null) return value;
    const replacement = replace(value);
    if (replacement !== undefined) return replacement;
    if (copies.has(value)) return copies.get(value);
    if (Array.isArray(value)) {
      // By its keys, because it may be sparse.
      const copy: unknown[] = new Array(value.length);
      copies.set(value, copy);
      for (const key of Object.keys(value)) copy[key as never] = visit(value[key as never]);
      return copy;
    }
    if (value instanceof Map) {
      const copy = new Map<unknown, unknown>();
      copies.set(value, copy);
      for (const [key, entry] of value) copy.set(visit(key), visit(entry));
      return copy;
    }
    if (value instanceof Set) {
      const copy = new Set<unknown>();
      copies.set(value, copy);
      for (const entry of value) copy.add(visit(entry));
      return copy;
    }
    // Cloning makes plain objects of instances of users' classes. Those of Node's own look alike, and stay what they are.
    if (!isPlain(value) && !(isContainer(value) && reaches(value))) return value;
    const copy: Record<string, unknown> = {};
    copies.set(value, copy);
    for (const [key, item] of Object.entries(value)) {
      // Defined and not assigned: '__proto__' is a key like another.
      Object.defineProperty(copy, key, { value: visit(item), enumerable: true, configurable: true, writable: true });
    }
    return copy;
  };
  return visit(message);
}

/** What cloning looks at in a value. */
function partsOf(value: object): Iterable<unknown> {
  if (value instanceof Map) return [...value.keys(), ...value.values()] as unknown[];
  if (value instanceof Set) return value as Set<unknown>;
  return isContainer(value) ? (Object.values(value) as unknown[]) : [];
}

/** Whether values have such an object somewhere in them. Each object is looked at once, for all of them. */
function reachOf(isSuch: (value: object) => boolean): (root: object) => boolean {
  const barren = new Set<object>();
  return (root) => {
    const seen = new Set<object>([root]);
    // What is found is added to what is still to be looked at.
    for (const value of seen) {
      if (isSuch(value)) return true;
      for (const part of partsOf(value)) {
        if (typeof part === 'object' && part !== null && !barren.has(part)) seen.add(part);
      }
    }
    for (const value of seen) barren.add(value);
    return false;
  };
}

/** Puts what placeholders stand for in their places, in data that nobody else has. */
export function reviveIn(data: unknown, revive: (value: object) => unknown): unknown {
  const seen = new Map<object, unknown>();
  const visit = (value: unknown): unknown => {
    if (typeof value !== 'object' || value === null) return value;
    if (seen.has(value)) return seen.get(value);
    const revived = revive(value);
    seen.set(value, revived ?? value);
    if (revived !== undefined) return revived;
    if (value instanceof Map) {
      const entries = [...value];
      value.clear();
      for (const [key, entry] of entries) value.set(visit(key), visit(entry));
    } else if (value instanceof Set) {
      const entries = [...value];
      value.clear();
      for (const entry of entries) value.add(visit(entry));
    } else if (Array.isArray(value) || isPlain(value)) {
      const parts = value as Record<string, unknown>;
      for (const key of Object.keys(parts)) {
        const part = parts[key];
        if (typeof part === 'object' && part !== null) parts[key] = visit(part);
      }
    }
    return value;
  };
  return visit(data);
}

/** What is moved with a message that came by a bridged port. */
export function movablesIn(message: unknown): unknown[] {
  const found: unknown[] = [];
  if (typeof message !== 'object' || message === null) return found;
  const collect = reachOf((value) => {
    if (MOVABLE.some((movable) => value instanceof movable)) found.push(value);
    return false;
  });
  collect(message);
  return found;
}

const MOVABLE = [MessagePort, ReadableStream, WritableStream, TransformStream];

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
