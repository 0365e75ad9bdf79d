import type * as V8 from 'node:v8';
import { MOST_PACKED, type SharedStoreMaker } from '../wire/claim-table.js';
import type { NamedHandler } from '../wire/handlers.js';
import { isPlain } from './plain.js';
import { streamHandlers } from './stream-bridge.js';

/** Values that only Node has. */
export const platformHandlers: NamedHandler[] = streamHandlers;

let module: typeof V8 | undefined;

/** Loaded when first needed: threads start faster without it. */
const v8 = () => (module ??= process.getBuiltinModule('node:v8'));

let able: boolean | undefined;

/** Runtimes that only resemble Node have the class, and it throws. */
function canSerialize(): boolean {
  if (able !== undefined) return able;
  try {
    const { Serializer } = v8();
    new Serializer().writeValue(1n);
    able = true;
  } catch {
    able = false;
  }
  return able;
}

/**
 * The bytes of a small value, as structured cloning writes them; undefined when it is not small, or cannot be cloned without
 * the help of a message.
 */
export function pack(value: unknown): Uint8Array | undefined {
  if (ArrayBuffer.isView(value)) return undefined;
  if (!canSerialize()) return undefined;
  const { Serializer } = v8();
  // Not v8.serialize: it makes Buffers of other views of bytes.
  const serializer = new Serializer();
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
  const { Deserializer } = v8();
  const deserializer = new Deserializer(bytes);
  deserializer.readHeader();
  return deserializer.readValue();
}

/** For BigInts only: of an object that it has written before, it would write that. */
let bigIntSerializer: V8.Serializer | undefined;

/** Texts and BigInts in a part of shared memory. */
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
      if (!canSerialize()) return undefined;
      const { Serializer } = v8();
      bigIntSerializer ??= new Serializer();
      bigIntSerializer.writeHeader();
      bigIntSerializer.writeValue(value);
      return bigIntSerializer.releaseBuffer();
    },
    readBigInt: (from, to) => {
      if (deserializer === undefined || from !== next) {
        const { Deserializer } = v8();
        deserializer = new Deserializer(buffer.subarray(from));
      }
      next = to;
      deserializer.readHeader();
      return deserializer.readValue() as bigint;
    },
  };
};
