import { Duplex, Readable, Writable } from 'node:stream';
import { ReadableStream, TransformStream, WritableStream } from 'node:stream/web';
import { types } from 'node:util';
import { Deserializer, Serializer } from 'node:v8';
import { MessageChannel, MessagePort } from 'node:worker_threads';
import { UNREADABLE } from '../wire/guarded-endpoint.js';
import { isPlain as isWhole } from './plain.js';
import { streamHandler, type WireStream } from './stream-bridge.js';

/**
 * Ports over the one channel between a process and its child. Each frame names the port that it is for:
 *
 *     [MARK, port, data, hasPlaceholders]
 *
 * Data that are not simple are bytes that this package writes and reads itself: what Node cannot read on its arrival it
 * throws where nobody can catch it, and it makes Buffers of other views of bytes.
 *
 * A message port cannot leave its process. One that is to be moved stays, and is bridged: what arrives at it goes over the
 * channel under a new number, and the other side makes a port of its own that stands for it. So callbacks, signals and
 * streams work as between threads.
 */
type Frame = [mark: typeof MARK, port: number, data: unknown, hasPlaceholders: boolean];

/** Tells a frame from what a task sends by its own process.send. */
const MARK = 'concurrent-futures';

/** The port of Comlink's calls. */
export const COMLINK = 0;
/** The port of the tasks. */
export const TASK_PORT = 1;
/** Frames on it tell that a bridged port was closed; their data is its number. */
const CLOSED = 2;
/** What a child threw that nobody caught. */
export const STRAY_ERROR = 3;
/** How many messages of the task port a child has read, at its end. */
export const READ_COUNT = 4;

/** An operating-system handle that goes with a message. */
export type Handle = import('node:child_process').SendHandle;

/** The channel, seen from either side. */
export interface Channel {
  readonly connected: boolean;
  /**
   * @param done - called when this message has left, never before this returns
   * @returns false when much of what was sent has not left yet
   * @throws what serialization throws; then nothing was sent
   */
  send(message: unknown, handle: Handle | undefined, done: (error: Error | null) => void): boolean;
  /** Told when a message could not leave, for a side that hears by nothing else that the channel is lost. */
  lost?(): void;
}

interface Listener {
  receive: (data: unknown, handle: Handle | undefined) => void;
  unreadable: (error: unknown) => void;
}

/** What stands in a message for something that cannot be cloned. */
type Placeholder = { 'concurrent-futures:port': number } | { 'concurrent-futures:stream': StreamKind; wire: unknown };

type StreamKind = 'readable' | 'writable' | 'transform';

export class IpcMultiplexer {
  readonly #channel: Channel;
  readonly #ports = new Map<number, Listener>();
  readonly #bridged = new Map<number, MessagePort>();
  #nextId: number;
  /** Messages that have not left, as far as is known. */
  #unsent = 0;
  #congested = false;
  readonly #onClear: (() => void)[] = [];

  /** @param side - 0 or 1, so that both sides never number a port alike */
  constructor(channel: Channel, side: 0 | 1) {
    this.#channel = channel;
    this.#nextId = 6 + side;
    this.listen(CLOSED, (id) => {
      this.#bridged.get(id as number)?.close();
      this.#bridged.delete(id as number);
      this.#ports.delete(id as number);
    });
  }

  /**
   * Listens on a port of a fixed number.
   *
   * @param unreadable - told of data that cannot be read; thrown where nobody is told
   */
  listen(port: number, receive: Listener['receive'], unreadable?: (error: unknown) => void): void {
    this.#ports.set(port, {
      receive,
      unreadable:
        unreadable ??
        ((error) => {
          throw error;
        }),
    });
  }

  /** Sends by a port. @throws what serialization throws; then nothing was sent */
  post(port: number, message: unknown, transfer: readonly unknown[] = [], handle?: Handle): void {
    // The end of the other side is told by an event of its own.
    if (!this.#channel.connected) return;
    const replacements = transfer.length > 0 ? this.#replacementsOf(transfer) : undefined;
    const data = replacements === undefined ? message : substitute(message, (value) => replacements.get(value));
    const frame = toFrame(port, data, replacements !== undefined);
    const hasLeft = this.#channel.send(frame, handle, this.#noteSent);
    // Not before: of what the channel refuses by throwing nobody tells that it has left.
    this.#unsent++;
    if (!hasLeft || isLarge(frame[2])) this.#congested = true;
    // Moved is moved, although a process can only be sent a copy.
    for (const moved of transfer) if (moved instanceof ArrayBuffer) structuredClone(moved, { transfer: [moved] });
  }

  /** Whether much of what was sent is still on this side. */
  get congested(): boolean {
    return this.#congested;
  }

  /** Resolves when nothing is. */
  clear(): Promise<void> {
    return new Promise((resolve) => {
      this.#onClear.push(resolve);
    });
  }

  /** Where the channel broke meanwhile, the end of the other side tells what becomes of its tasks. */
  readonly #noteSent = (error: Error | null) => {
    if (error !== null) this.#channel.lost?.();
    if (--this.#unsent > 0) return;
    this.#congested = false;
    for (const resolve of this.#onClear.splice(0)) resolve();
  };

  /** Takes a frame of the other side. */
  receive(frame: unknown, handle: Handle | undefined): void {
    // A task's own process.send is none of ours.
    if (!Array.isArray(frame) || frame[0] !== MARK) return;
    const [, port, sent, hasPlaceholders] = frame as Frame;
    const listener = this.#ports.get(port);
    if (listener === undefined) return;
    let data = sent;
    try {
      if (sent instanceof Uint8Array) {
        const deserializer = new Deserializer(sent);
        deserializer.readHeader();
        data = deserializer.readValue();
      }
      if (hasPlaceholders) data = reviveIn(data, (value) => this.#revive(value));
    } catch (error) {
      listener.unreadable(error);
      return;
    }
    listener.receive(data, handle);
  }

  /** The other side is gone: so are the ports there. */
  close(): void {
    for (const port of this.#bridged.values()) port.close();
    this.#bridged.clear();
  }

  /** What stands for each of the values that can be moved to another process; undefined when there are none. */
  #replacementsOf(transfer: readonly unknown[]): Map<unknown, Placeholder> | undefined {
    const replacements = new Map<unknown, Placeholder>();
    for (const moved of transfer) {
      if (!(moved instanceof ArrayBuffer)) replacements.set(moved, this.#replace(moved));
    }
    return replacements.size > 0 ? replacements : undefined;
  }

  #replace(moved: unknown): Placeholder {
    if (moved instanceof MessagePort) return { 'concurrent-futures:port': this.#bridge(moved, this.#newId()) };
    if (moved instanceof ReadableStream)
      return this.#replaceStream('readable', Readable.fromWeb(moved, { objectMode: true }));
    if (moved instanceof WritableStream)
      return this.#replaceStream('writable', Writable.fromWeb(moved, { objectMode: true }));
    if (moved instanceof TransformStream)
      return this.#replaceStream('transform', Duplex.fromWeb(moved, { objectMode: true }));
    const what = Object.prototype.toString.call(moved).slice(8, -1);
    throw new DOMException(`A ${what} cannot be moved to another process`, 'DataCloneError');
  }

  #replaceStream(kind: StreamKind, stream: Readable | Writable | Duplex): Placeholder {
    const [wire] = streamHandler.serialize(stream);
    const port = this.#replace(wire.port);
    return { 'concurrent-futures:stream': kind, wire: { ...wire, port } };
  }

  #revive(value: object): unknown {
    if (Object.hasOwn(value, 'concurrent-futures:port')) {
      const { port1, port2 } = new MessageChannel();
      this.#bridge(port1, (value as { 'concurrent-futures:port': number })['concurrent-futures:port']);
      return port2;
    }
    if (Object.hasOwn(value, 'concurrent-futures:stream')) {
      const { 'concurrent-futures:stream': kind, wire } = value as {
        'concurrent-futures:stream': StreamKind;
        wire: WireStream;
      };
      const stream = streamHandler.deserialize({ ...wire, port: this.#revive(wire.port) as MessagePort });
      if (kind === 'readable') return Readable.toWeb(stream as Readable);
      if (kind === 'writable') return Writable.toWeb(stream as Writable);
      return Duplex.toWeb(stream as Duplex);
    }
    return undefined;
  }

  #newId(): number {
    const id = this.#nextId;
    this.#nextId += 2;
    return id;
  }

  #bridge(port: MessagePort, id: number): number {
    this.#bridged.set(id, port);
    // Either side may be the one that waits for what could not be read.
    const refuse = () => {
      port.postMessage({ id: UNREADABLE });
      this.post(id, { id: UNREADABLE });
    };
    this.listen(
      id,
      (data) => {
        port.postMessage(data, portsIn(data) as never[]);
      },
      refuse,
    );
    port.on('message', (data: unknown) => {
      try {
        this.post(id, data, portsIn(data));
      } catch {
        refuse();
      }
    });
    port.on('messageerror', refuse);
    port.on('close', () => {
      if (!this.#bridged.delete(id)) return;
      this.#ports.delete(id);
      this.post(CLOSED, id);
    });
    port.unref();
    return id;
  }
}

/** What is sent by the channel. @throws what serialization throws */
export function toFrame(port: number, data: unknown, hasPlaceholders: boolean): Frame {
  if (isSimple(data)) return [MARK, port, data, hasPlaceholders];
  if (!isWhole(data)) throw new DOMException('Something in it cannot be sent to another process', 'DataCloneError');
  const serializer = new Serializer();
  serializer.writeHeader();
  serializer.writeValue(data);
  return [MARK, port, serializer.releaseBuffer(), hasPlaceholders];
}

/** Bytes or characters that may not go at once. */
const LARGE = 32_768;

function isLarge(data: unknown): boolean {
  if (data instanceof Uint8Array) return data.length > LARGE;
  // Of a batch, no part is long enough to matter for whoever waits; a result has few parts.
  return (
    Array.isArray(data) && data.length < 16 && data.some((part) => typeof part === 'string' && part.length > LARGE)
  );
}

/** Parts that are looked at to find out whether data are simple: beyond that, bytes cost less. */
const MOST_PARTS = 64;

/** Whether data are few plain objects and arrays, of primitive values: those Node reads as they were written. */
function isSimple(data: unknown): boolean {
  let left = MOST_PARTS;
  const visit = (value: unknown): boolean => {
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

/** Throws for what cannot be sent by the channel. */
export function tryToFrame(value: unknown): void {
  toFrame(COMLINK, value, false);
}

/** A copy of a message in which some objects are replaced; only plain objects and arrays are looked into. */
function substitute(message: unknown, replace: (value: unknown) => unknown): unknown {
  const copies = new Map<object, unknown>();
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
    if (!isPlain(value)) return value;
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

/** Puts what placeholders stand for in their places, in data that nobody else has. */
function reviveIn(data: unknown, revive: (value: object) => unknown): unknown {
  const seen = new Map<object, unknown>();
  const visit = (value: unknown): unknown => {
    if (typeof value !== 'object' || value === null) return value;
    if (seen.has(value)) return seen.get(value);
    const revived = revive(value);
    seen.set(value, revived ?? value);
    if (revived !== undefined || (!Array.isArray(value) && !isPlain(value))) return revived ?? value;
    const parts = value as Record<string, unknown>;
    for (const key of Object.keys(parts)) {
      const part = parts[key];
      if (typeof part === 'object' && part !== null) parts[key] = visit(part);
    }
    return value;
  };
  return visit(data);
}

/** The message ports in a message that came by a bridged port. */
function portsIn(message: unknown): MessagePort[] {
  const found: MessagePort[] = [];
  substitute(message, (value) => {
    if (value instanceof MessagePort) found.push(value);
    return undefined;
  });
  return found;
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
