/** Classes whose instances v8's Serializer writes as structured cloning does. */
const CLONED = new Set<unknown>(
  [Object, Array, Map, Set, Date, RegExp, ArrayBuffer, DataView, Boolean, Number, String, BigInt, Error, TypeError]
    .concat([RangeError, SyntaxError, ReferenceError, EvalError, URIError] as never[])
    .map(({ prototype }) => prototype as unknown)
    .concat(null),
);

/** By prototype: whether cloning makes of instances of a class what it makes of the common ones, as it does with classes of users. */
const common = new WeakMap<object, boolean>();

function isCloned(value: object): boolean {
  const prototype = Object.getPrototypeOf(value) as object | null;
  if (prototype === null || CLONED.has(prototype) || ArrayBuffer.isView(value)) return true;
  let known = common.get(prototype);
  if (known === undefined) {
    // Node's own classes (Blob, BlockList, streams ...) look like any other; cloning tells: it keeps or refuses them.
    known = CLONED.has(Object.getPrototypeOf(structuredClone(value)));
    common.set(prototype, known);
  }
  return known;
}

/**
 * Whether a Serializer of node:v8 writes a value as a message would carry it. It does not know Node's own classes.
 *
 * @param most - parts looked at; of more, the answer is false, and so it is of properties that are computed
 * @throws what cloning throws for what cannot be cloned
 */
export function isPlain(root: unknown, most = Infinity): boolean {
  if (typeof root !== 'object' || root === null) return true;
  const seen = new Set<object>([root]);
  const visit = (part: unknown) => {
    if (typeof part === 'object' && part !== null) seen.add(part);
  };
  // What is found is added to what is still to be looked at.
  for (const value of seen) {
    if (seen.size > most || !isCloned(value)) return false;
    if (Array.isArray(value)) {
      // Not by its length: it may be sparse, and as long as arrays get.
      Object.values(value).forEach(visit);
    } else if (value instanceof Map) {
      for (const [key, entry] of value) {
        visit(key);
        visit(entry);
      }
    } else if (value instanceof Set) {
      value.forEach(visit);
    } else if (!ArrayBuffer.isView(value)) {
      for (const key of Object.keys(value)) {
        const property = Object.getOwnPropertyDescriptor(value, key);
        // Asked twice it might answer twice.
        if (property?.get !== undefined && most < Infinity) return false;
        visit(property?.value);
      }
    }
  }
  return true;
}
