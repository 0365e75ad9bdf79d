import { ReadableStream, TransformStream, WritableStream } from 'node:stream/web';
import { MessageChannel, MessagePort } from 'node:worker_threads';
import { warn } from '#diagnostics';
import { throwOver } from '../comlink.js';
import { describe } from '../options.js';
import { encodeError } from '../wire/errors.js';
import { refusal, UNREADABLE, unreadable } from '../wire/guarded-endpoint.js';
import { type Purpose, purposeOf } from '../wire/purpose.js';
import { cloneError, findUnclonable } from '../wire/unclonable.js';
import { isFrame, isLarge, readData, toFrame, tryToFrame } from './frame.js';
import { movablesIn, reviveIn, substitute } from './placeholders.js';
import {
  type Line,
  type LineEnd,
  ReadableBridge,
  ReadableSource,
  transformOf,
  WritableBridge,
  WritableTarget,
} from './web-stream-bridge.js';

/**
 * Ports over the one channel between a process and its child: each frame names the port that it is for.
 *
 * A message port cannot leave its process. One that is to be moved stays, and is bridged: what arrives at it goes over the
 * channel under a new number, and the other side makes a port of its own that stands for it. So callbacks and signals work as
 * between threads. A web stream stays, too, and has a line of that kind for each direction.
 */

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
  unreadable: (error: unknown, purpose: Purpose | undefined) => void;
}

/** What stands in a message for something that cannot be cloned. */
interface Placeholder {
  /** The kind, and the numbers of its ports. */
  'concurrent-futures:moved': [kind: 'port' | 'readable' | 'writable' | 'transform', ...ports: number[]];
}
const PLACEHOLDER: keyof Placeholder = 'concurrent-futures:moved';

export class IpcMultiplexer {
  readonly #channel: Channel;
  readonly #ports = new Map<number, Listener>();
  readonly #bridged = new Map<number, MessagePort>();
  /** What streams hear by, on the numbers of their lines. */
  readonly #lines = new Map<number, LineEnd>();
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
  listen(port: number, receive: Listener['receive'], unreadable?: Listener['unreadable']): void {
    this.#ports.set(port, {
      receive,
      unreadable:
        unreadable ??
        ((error) => {
          throw error;
        }),
    });
  }

  /**
   * Sends by a port.
   *
   * @param purpose - told to the other side when it cannot read the message
   * @throws what serialization throws; then nothing was sent
   */
  post(port: number, message: unknown, transfer: readonly unknown[] = [], handle?: Handle, purpose?: Purpose): void {
    // The end of the other side is told by an event of its own.
    if (!this.#channel.connected) return;
    const moved = transfer.length > 0 ? this.#replace(transfer) : undefined;
    const data = moved === undefined ? message : substitute(message, (value) => moved.placeholders.get(value));
    const frame = toFrame(port, data, moved !== undefined);
    if (purpose !== undefined) frame.push(purpose);
    const hasLeft = this.#channel.send(frame, handle, this.#noteSent);
    // Not before: what the channel refuses by throwing moves nothing, and nobody tells that it has left.
    for (const begin of moved?.begins ?? []) begin();
    this.#unsent++;
    if (!hasLeft || isLarge(frame[2])) this.#congested = true;
    // Moved is moved, although a process can only be sent a copy.
    for (const entry of transfer) if (entry instanceof ArrayBuffer) structuredClone(entry, { transfer: [entry] });
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
    if (!isFrame(frame)) return;
    const [, port, , hasPlaceholders, purpose] = frame;
    const listener = this.#ports.get(port);
    if (listener === undefined) return;
    let data: unknown;
    try {
      data = readData(frame);
      if (hasPlaceholders) data = reviveIn(data, (value) => this.#revive(value));
    } catch (error) {
      listener.unreadable(error, purpose);
      return;
    }
    listener.receive(data, handle);
  }

  /** The other side is gone: so are the ports there. */
  close(): void {
    for (const port of this.#bridged.values()) port.close();
    this.#bridged.clear();
    for (const end of this.#lines.values()) end.over();
    this.#lines.clear();
  }

  /**
   * What stands for each of the values that are moved, and what sets them going, which is for when the message can be sent;
   * undefined when there are none.
   *
   * @throws DOMException for what cannot be moved
   */
  #replace(
    transfer: readonly unknown[],
  ): { placeholders: Map<unknown, Placeholder>; begins: (() => void)[] } | undefined {
    const placeholders = new Map<unknown, Placeholder>();
    const begins: (() => void)[] = [];
    const replace = (value: unknown, kind: Placeholder[typeof PLACEHOLDER][0], ...starts: ((id: number) => void)[]) => {
      const ids = starts.map(() => this.#newId());
      placeholders.set(value, { [PLACEHOLDER]: [kind, ...ids] });
      starts.forEach((start, i) =>
        begins.push(() => {
          start(ids[i] as number);
        }),
      );
    };
    const source = (stream: ReadableStream) => {
      refuseLocked(stream);
      return (id: number) => this.#connect(id, (line) => new ReadableSource(stream, line));
    };
    const target = (stream: WritableStream) => {
      refuseLocked(stream);
      return (id: number) => this.#connect(id, (line) => new WritableTarget(stream, line));
    };
    for (const value of transfer) {
      if (value instanceof ArrayBuffer) continue;
      if (value instanceof MessagePort)
        replace(value, 'port', (id) => {
          this.#bridge(value, id);
        });
      else if (value instanceof ReadableStream) replace(value, 'readable', source(value));
      else if (value instanceof WritableStream) replace(value, 'writable', target(value));
      else if (value instanceof TransformStream)
        replace(value, 'transform', source(value.readable), target(value.writable));
      else {
        throw new DOMException(`${describe(value)} cannot be moved to another process`, 'DataCloneError');
      }
    }
    return placeholders.size > 0 ? { placeholders, begins } : undefined;
  }

  /** What a placeholder stands for; undefined for what is none. */
  #revive(value: object): unknown {
    if (!Object.hasOwn(value, PLACEHOLDER)) return undefined;
    const [kind, ...ids] = (value as Placeholder)[PLACEHOLDER];
    const [first, second] = ids as [number, number];
    if (kind === 'port') {
      const { port1, port2 } = new MessageChannel();
      this.#bridge(port1, first);
      return port2;
    }
    const readable = (id: number) => this.#connect(id, (line) => new ReadableBridge(line)).stream;
    const writable = (id: number) => this.#connect(id, (line) => new WritableBridge(line)).stream;
    if (kind === 'readable') return readable(first);
    if (kind === 'writable') return writable(first);
    return transformOf(readable(first), writable(second));
  }

  /** Makes this side of a line. */
  #connect<E extends LineEnd>(id: number, make: (line: Line) => E): E {
    const end = make({
      post: (message) => {
        this.post(id, message);
      },
      clone: tryToFrame,
      close: () => {
        this.#ports.delete(id);
        this.#lines.delete(id);
      },
    });
    this.#lines.set(id, end);
    this.listen(
      id,
      (message) => {
        end.receive(message as unknown[]);
      },
      () => {
        end.unreadable();
      },
    );
    return end;
  }

  #newId(): number {
    const id = this.#nextId;
    this.#nextId += 2;
    return id;
  }

  #bridge(port: MessagePort, id: number): void {
    this.#bridged.set(id, port);
    const send = (message: unknown) => {
      this.post(id, message);
    };
    const hand = (message: unknown) => {
      port.postMessage(message);
    };
    // Whether the messages so far were none of this package.
    let isOfUser = false;
    this.listen(
      id,
      (data) => {
        isOfUser = purposeOf(data) === undefined;
        port.postMessage(data, movablesIn(data) as never[]);
      },
      (_error, purpose) => {
        tellLost(purpose, unreadable(), send, hand);
      },
    );
    port.on('message', (data: unknown) => {
      const purpose = purposeOf(data);
      isOfUser = purpose === undefined;
      const moved = movablesIn(data);
      try {
        this.post(id, data, moved, undefined, purpose);
      } catch (cause) {
        const error =
          purpose === undefined
            ? cloneError(
                'A message of a MessagePort to another process',
                findUnclonable(data, moved, tryToFrame),
                cause,
              )
            : refusal(data as object, moved, cause, tryToFrame);
        tellLost(purpose, error, hand, send);
      }
    });
    port.on('messageerror', () => {
      if (isOfUser) tellLost(undefined, unreadable(), hand, send);
      else {
        // It is not known what it was for: either side may be the one that waits.
        hand({ id: UNREADABLE });
        send({ id: UNREADABLE });
      }
    });
    port.on('close', () => {
      if (!this.#bridged.delete(id)) return;
      this.#ports.delete(id);
      this.post(CLOSED, id);
    });
    port.unref();
  }
}

/**
 * A message of a bridged port does not get through.
 *
 * @param back - sends to the side that it came from
 * @param on - sends to the side that it was for
 */
function tellLost(
  purpose: Purpose | undefined,
  error: DOMException,
  back: (message: unknown) => void,
  on: (message: unknown) => void,
): void {
  if (purpose === undefined) {
    // Whoever posted it has gone on: too late to throw.
    warn('MessagePortWarning', error.message);
    return;
  }
  const [what, id] = purpose;
  if (what === 'call') back({ id, ...throwOver(error) });
  else if (what === 'answer') on({ id, ...throwOver(error) });
  else on(encodeError(error));
}

/** @throws DOMException for a stream that somebody has already */
function refuseLocked(stream: ReadableStream | WritableStream): void {
  if (stream.locked) throw new DOMException('A stream that is locked cannot be moved', 'DataCloneError');
}
