import { types } from 'node:util';
import { Deserializer, Serializer } from 'node:v8';
import type { Purpose } from '../wire/purpose.js';
import { isPlain as isWhole } from './plain.js';

/**
 * What goes over the channel between a process and its child:
 *
 *     [MARK, port, data, hasPlaceholders, purpose?]
 *
 * Data that are not simple are bytes that this package writes and reads itself: what Node cannot read on its arrival it
 * throws where nobody can catch it, and it makes Buffers of other views of bytes.
 */
export type Frame = [mark: typeof MARK, port: number, data: unknown, hasPlaceholders: boolean, purpose?: Purpose];

/** Tells a frame from what a task sends by its own process.send. */
const MARK = 'concurrent-futures';

export function isFrame(message: unknown): message is Frame {
  return Array.isArray(message) && message[0] === MARK;
}

/** The data of a frame. @throws for what cannot be read */
export function readData([, , data]: Frame): unknown {
  if (!(data instanceof Uint8Array)) return data;
  const deserializer = new Deserializer(data);
  deserializer.readHeader();
  return deserializer.readValue() as unknown;
}

/**
 * Most bytes of one message. Node reads the length of what arrives as a number of 32 bits with a sign, and throws where nobody
 * can catch it when it is larger. What Node itself adds is less than the rest.
 */
const MOST_BYTES = 2 ** 31 - 1024;

/** What is sent by the channel. @throws what serialization throws, and RangeError for what is too large */
export function toFrame(port: number, data: unknown, hasPlaceholders: boolean): Frame {
  const sent = serialize(data);
  if (sent instanceof Uint8Array && sent.length > MOST_BYTES) {
    const most = `${String(sent.length)} bytes, of at most ${String(MOST_BYTES)}`;
    throw new RangeError(`a message between processes is to take ${most}; send it in parts, or as a stream`);
  }
  return [MARK, port, sent, hasPlaceholders];
}

/** Simple data as they are, others as bytes. */
function serialize(data: unknown): unknown {
  if (isSimple(data)) return data;
  if (!isWhole(data)) throw new DOMException('Something in it cannot be sent to another process', 'DataCloneError');
  const serializer = new Serializer();
  serializer.writeHeader();
  serializer.writeValue(data);
  return serializer.releaseBuffer();
}

/** Bytes or characters that may not go at once. */
const LARGE = 32_768;

/** Whether it is worth to wait until it has left. */
export function isLarge(data: unknown): boolean {
  if (data instanceof Uint8Array) return data.length > LARGE;
  // Of a batch, no part is long enough to matter for whoever waits; a result has few parts.
  return (
    Array.isArray(data) && data.length < 16 && data.some((part) => typeof part === 'string' && part.length > LARGE)
  );
}

/** Parts that are looked at to find out whether data are simple: beyond that, bytes cost less. */
const MOST_PARTS = 64;
/** Characters, of two bytes at most, whose bytes are not counted: so many are far from too many for a message. */
const MOST_CHARACTERS = 2 ** 29;

/** Whether data are few plain objects and arrays, of primitive values: those Node reads as they were written. */
function isSimple(data: unknown): boolean {
  let left = MOST_PARTS;
  let characters = 0;
  const visit = (value: unknown): boolean => {
    if (typeof value === 'string') return (characters += value.length) <= MOST_CHARACTERS;
    if (typeof value !== 'object' || value === null) return typeof value !== 'symbol' && typeof value !== 'function';
    // They look plain, and Node refuses them: too late when a handle goes along, or when they wait behind one.
    if (types.isProxy(value) || types.isArgumentsObject(value)) return false;
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype !== Object.prototype && prototype !== Array.prototype) return false;
    for (const key of Object.keys(value)) {
      const property = Object.getOwnPropertyDescriptor(value, key);
      // What is computed might be something else when it is asked for again.
      if (--left < 0 || property?.get !== undefined || !visit(property?.value)) return false;
    }
    return true;
  };
  if (!Array.isArray(data)) return visit(data);
  // Batches of tasks are long, and flat.
  return data.every(visit);
}

/** Throws for what cannot be sent by the channel, however small it were. */
export function tryToFrame(value: unknown): void {
  serialize(value);
}
