import type * as V8 from 'node:v8';
import { MOST_PACKED, type SharedStoreMaker } from '../wire/claim-table.js';
import type { NamedHandler } from '../wire/handlers.js';
import { isPlain } from './plain.js';
import { streamHandlers } from './stream-bridge.js';

/** Values that only Node has. */
export const platformHandlers: NamedHandler[] = streamHandlers;

/** The module, loaded when first needed: threads start faster without it. Null where it cannot do what is needed here. */
let v8: typeof V8 | null | undefined;

/** Runtimes that only resemble Node have the class, and it throws; or it writes bytes that only they can read. */
function loadV8(): typeof V8 | null {
  try {
    const module = process.getBuiltinModule('node:v8');
    const serializer = new module.Serializer();
    serializer.writeValue(1n);
    serializer.releaseBuffer();
    return module;
  } catch {
    return null;
  }
}

/**
 * The bytes of a small value, as structured cloning writes them; undefined when it is not small, or cannot be cloned without
 * the help of a message.
 */
export function pack(value: unknown): Uint8Array | undefined {
  if (ArrayBuffer.isView(value)) return undefined;
  if (v8 === undefined) v8 = loadV8();
  if (v8 === null) return undefined;
  // Not v8.serialize: it makes Buffers of other views of bytes.
  const serializer = new v8.Serializer();
  try {
    if (!isPlain(value, MOST_PACKED)) return undefined;
    serializer.writeHeader();
    serializer.writeValue(value);
  } catch {
    // A message can carry it, or says better why it cannot be cloned.
    return undefined;
  }
  const bytes = serializer.releaseBuffer();
  return bytes.length > MOST_PACKED ? undefined : bytes;
}

/** The value of bytes from `pack`. */
export function unpack(bytes: Uint8Array): unknown {
  const deserializer = new (process.getBuiltinModule('node:v8').Deserializer)(bytes);
  deserializer.readHeader();
  return deserializer.readValue();
}

/** For BigInts only: between objects, it would write that it has written one before. */
let bigIntSerializer: V8.Serializer | undefined;

export const sharedStore: SharedStoreMaker | undefined = (memory, offset, length) => {
  const buffer = Buffer.from(memory, offset, length);
  // What follows is mostly where the last one ended, and to make a Deserializer takes longer than to use it.
  let deserializer: V8.Deserializer | undefined;
  let next = -1;
  return {
    writeText: (text, at, wide) => {
      buffer.write(text, at, wide ? 'utf16le' : 'latin1');
    },
    readText: (from, to, wide) => buffer.toString(wide ? 'utf16le' : 'latin1', from, to),
    packBigInt: (value) => {
      if (v8 === undefined) v8 = loadV8();
      if (v8 === null) return undefined;
      bigIntSerializer ??= new v8.Serializer();
      bigIntSerializer.writeHeader();
      bigIntSerializer.writeValue(value);
      return bigIntSerializer.releaseBuffer();
    },
    readBigInt: (from, to) => {
      if (deserializer === undefined || from !== next)
        deserializer = new (process.getBuiltinModule('node:v8').Deserializer)(buffer.subarray(from));
      next = to;
      deserializer.readHeader();
      return deserializer.readValue() as bigint;
    },
  };
};
