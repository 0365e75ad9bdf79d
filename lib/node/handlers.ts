import type * as V8 from 'node:v8';
import { MOST_PACKED, type TextMemoryMaker } from '../wire/claim-table.js';
import type { NamedHandler } from '../wire/handlers.js';
import { isPlain } from './plain.js';
import { streamHandlers } from './stream-bridge.js';

/** Values that only Node has. */
export const platformHandlers: NamedHandler[] = streamHandlers;

/** Loaded when first needed: threads start faster without it. Runtimes that only resemble Node may have less of it. */
let v8: Partial<typeof V8> | undefined;

/**
 * The bytes of a small value, as structured cloning writes them; undefined when it is not small, or cannot be cloned without
 * the help of a message.
 */
export function pack(value: unknown): Uint8Array | undefined {
  if (ArrayBuffer.isView(value)) return undefined;
  v8 ??= process.getBuiltinModule('node:v8');
  const { Serializer } = v8;
  if (Serializer === undefined) return undefined;
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
  v8 ??= process.getBuiltinModule('node:v8');
  const deserializer = new (v8 as typeof V8).Deserializer(bytes);
  deserializer.readHeader();
  return deserializer.readValue();
}

/** Texts in a part of shared memory. */
export const textMemory: TextMemoryMaker | undefined = (memory, offset, length) => {
  const buffer = Buffer.from(memory, offset, length);
  return {
    write: (text, at, wide) => {
      buffer.write(text, at, wide ? 'utf16le' : 'latin1');
    },
    read: (from, to, wide) => buffer.toString(wide ? 'utf16le' : 'latin1', from, to),
  };
};
