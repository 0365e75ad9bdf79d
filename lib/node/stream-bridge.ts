import type { AddressInfo, Socket } from 'node:net';
import {
  Duplex,
  type Readable,
  Readable as ReadableClass,
  type Writable,
  Writable as WritableClass,
} from 'node:stream';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import type { TransferHandler } from '../comlink.js';
import { WorkerDiedError } from '../errors.js';
import type { HandledValue } from '../pool/backend.js';
import { decodeError, encodeError, type WireError } from '../wire/errors.js';
import type { NamedHandler } from '../wire/handlers.js';
import { cloneError, findUnclonable } from '../wire/unclonable.js';
import { type Address, addressOf, BridgedSocket, type Line, type Setting } from './bridged-socket.js';
import { movedHandler } from './moved-socket.js';
import { type BridgePort, type PortMux, withEvents } from './port-mux.js';
import { belongToTask, closeSoftly, isSocket, reset, ServedSocket } from './served-socket.js';

/**
 * Node's streams on the other side of a message port. Each side pumps what it can read to the other, which writes it, and
 * is told how much of it has been taken: no more than WINDOW bytes are under way in a direction. The two halves end on
 * their own; an error or a destruction of one side destroys the other.
 */
export const WINDOW = 256 * 1024;
/** What an object counts for: as many are under way as Node's streams of objects keep. */
const OBJECT_BYTES = WINDOW / 16;
/** What a chunk counts for at least: however small, it takes its time here and there. */
const CHUNK_BYTES = WINDOW / 1024;
/** Bytes taken that are worth a message. */
export const WORTH_TELLING = WINDOW / 16;
/** Larger chunks are sent in pieces, so that the side that writes them sees how they get on. */
const PIECE = WINDOW / 4;

const END = 0;
/** All that was written before `END` has been written indeed. */
const FINISHED = 1;
const DESTROY = 2;
/** The connection of a socket is to be reset. */
const RESET = 3;

/** What is said for each connection is bare: an object takes longer to cross than all that is in it. */
type Message =
  /** A chunk of bytes. */
  | Uint8Array
  /** A short one of a socket, in latin1: an array buffer takes longer to cross, and to be collected, than a text. */
  | string
  /** A chunk of something else. */
  | { kind: 'data'; chunk: unknown }
  | { kind: 'taken'; bytes: number }
  | typeof END
  | typeof FINISHED
  | typeof DESTROY
  | typeof RESET
  | { kind: 'set'; setting: Setting }
  | { kind: 'destroy'; error: WireError };

export const sizeOf = (chunk: unknown) =>
  typeof chunk === 'string' || chunk instanceof Uint8Array ? Math.max(CHUNK_BYTES, chunk.length) : OBJECT_BYTES;

/** Bytes that go as a text at most. */
const SHORT = 4096;

/**
 * Posts a chunk.
 *
 * @param ofSocket - whether it is of a socket: bytes, in a Buffer
 * @param own - whether nobody else has a chunk of bytes, or ever will
 * @returns why it cannot be cloned, if it cannot
 */
function postChunk(port: BridgePort, chunk: unknown, ofSocket: boolean, own = false): Error | undefined {
  try {
    if (ofSocket && Buffer.isBuffer(chunk) && chunk.length <= SHORT) {
      port.postMessage(chunk.toString('latin1') satisfies Message);
      return undefined;
    }
    // Bytes are copied: a small Buffer is part of a pool that others use.
    const isWhole = chunk instanceof Uint8Array && chunk.length === chunk.buffer.byteLength;
    const message = chunk instanceof Uint8Array ? (own && isWhole ? chunk : new Uint8Array(chunk)) : asData(chunk);
    port.postMessage(message satisfies Message);
    return undefined;
  } catch (cause) {
    return cloneError('A chunk of the stream', findUnclonable(chunk), cause);
  }
}

/** Of their own, as those of a socket are. */
function bytesOf(text: string): Buffer {
  const bytes = Buffer.allocUnsafeSlow(text.length);
  bytes.write(text, 'latin1');
  return bytes;
}

const asData = (chunk: unknown) => ({ kind: 'data' as const, chunk });

const asDestroy = (error: Error | null | undefined) =>
  error ? { kind: 'destroy' as const, error: encodeError(error) } : DESTROY;

/** The side where the stream is: moves bytes between it and the port. */
function serveStream(stream: Readable | Writable | Duplex, port: BridgePort): void {
  const post = (message: Message) => {
    port.postMessage(message);
  };
  // Whether the end of one half ends the other is decided where the stream is worked with, after its last words.
  if (stream instanceof Duplex) stream.allowHalfOpen = true;
  let underWay = 0;
  let taken = 0;
  let over = false;
  const own = isSocket(stream);
  const readable = 'read' in stream && stream.readable ? stream : undefined;
  const writable = 'write' in stream && stream.writable ? stream : undefined;
  readable?.on('data', (chunk: unknown) => {
    underWay += sizeOf(chunk);
    if (underWay >= WINDOW) readable.pause();
    const refused = postChunk(port, chunk, own, own);
    if (refused !== undefined) stream.destroy(refused);
  });
  // One that was accepted with pauseOnConnect waits to be told.
  readable?.resume();
  readable?.on('end', () => {
    post(END);
  });
  const finish = (error?: Error | null) => {
    if (over) return;
    over = true;
    post(asDestroy(error));
    port.close();
  };
  stream.on('error', finish);
  stream.on('close', () => {
    finish();
  });
  const write = (chunk: unknown, encoding?: BufferEncoding) => {
    writable?.write(chunk, encoding as BufferEncoding, () => {
      taken += sizeOf(chunk);
      if (over || taken < WORTH_TELLING) return;
      post({ kind: 'taken', bytes: taken });
      taken = 0;
    });
  };
  port.on('message', (message: Message) => {
    if (message === END) {
      writable?.end((error?: Error | null) => {
        if (!over && !error) post(FINISHED);
      });
    } else if (message === DESTROY) {
      over = true;
      // What was written there counts as written: it still has to leave here.
      if (isSocket(stream)) closeSoftly(stream);
      else stream.destroy();
      port.close();
    } else if (message === RESET) {
      over = true;
      reset(stream as Socket);
      port.close();
    } else if (message instanceof Uint8Array) write(message);
    else if (typeof message === 'string') write(message, 'latin1');
    else if (message === FINISHED) return;
    else if (message.kind === 'data') write(message.chunk);
    else if (message.kind === 'taken') {
      underWay -= message.bytes;
      if (underWay < WINDOW) readable?.resume();
    } else if (message.kind === 'set') {
      const [method, enable, ...others] = message.setting;
      (stream as Socket)[method](enable, ...others);
    } else {
      over = true;
      stream.destroy(decodeError(message.error) as Error);
      port.close();
    }
  });
  // The worker has died: nobody will read or write this stream any more.
  port.on('close', () => {
    if (over) return;
    over = true;
    if (stream.destroyed) return;
    // One whose worker had said all that it had to say may still have to be read by its peer.
    if (isSocket(stream) && stream.writableEnded) closeSoftly(stream);
    else stream.destroy();
  });
  // The stream itself keeps the process alive, or does not.
  port.unref();
  // What had happened before this side listened.
  if ('read' in stream && stream.readableEnded) post(END);
  if (stream.destroyed) finish(stream.errored);
}

/** What the other side has to know of a stream to make one like it. */
interface Shape {
  allowHalfOpen: boolean;
  readable: boolean;
  writable: boolean;
  readableObjectMode: boolean;
  writableObjectMode: boolean;
  encoding: BufferEncoding | undefined;
  /** Of a socket. */
  address: Address | undefined;
}

/** Events that those who use a stream listen to. */
const USES = ['data', 'readable', 'end', 'finish', 'close', 'drain', 'error'];

/** The side that works with the stream. */
class Bridge implements Line {
  bytesSent = 0;
  readonly #port: BridgePort;
  readonly #encoding: BufferEncoding | undefined;
  readonly #isSocket: boolean;
  #underWay = 0;
  #blocked: (() => void) | undefined;
  #finishing: (() => void) | undefined;
  /** All that can be read has come. */
  #ended = false;
  #over = false;

  constructor(port: BridgePort, { encoding, address }: Shape) {
    this.#port = port;
    this.#encoding = encoding;
    this.#isSocket = address !== undefined;
  }

  attach(stream: Duplex | Readable | Writable): void {
    const push = (chunk: unknown) => {
      this.#pushed += sizeOf(chunk);
      (stream as Readable).push(chunk, this.#encoding);
    };
    this.#port.on('message', (message: Message) => {
      if (message === END) {
        this.#ended = true;
        (stream as Readable).push(null);
      } else if (message === FINISHED) {
        this.#finishing?.();
        this.#finishing = undefined;
      } else if (message === DESTROY) {
        this.#over = true;
        this.#port.close();
        // An orderly end of the other side still lets this one read what has come.
        if (!this.#ended || this.#finishing !== undefined) stream.destroy();
      } else if (message instanceof Uint8Array) push(message);
      else if (typeof message === 'string') push(bytesOf(message));
      else if (message === RESET) return;
      else if (message.kind === 'data') push(message.chunk);
      else if (message.kind === 'taken') {
        this.#underWay -= message.bytes;
        if (stream instanceof BridgedSocket) stream.touch();
        if (this.#underWay < WINDOW) this.#unblock();
      } else if (message.kind === 'set') return;
      else {
        this.#over = true;
        this.#port.close();
        stream.destroy(decodeError(message.error) as Error);
      }
    });
    this.#port.on('close', () => {
      if (this.#over) return;
      this.#over = true;
      // Of one that nobody has looked at yet, it would be an error that nobody can catch.
      stream.destroy(
        this.#isUsed(stream) ? new WorkerDiedError('The worker that this stream belongs to has ended') : undefined,
      );
    });
  }

  #isUsed(stream: Readable | Writable | Duplex): boolean {
    return this.bytesSent > 0 || USES.some((event) => stream.listenerCount(event) > 0);
  }

  #pushed = 0;

  /** The reader wants more: what it has been given is taken. */
  read(): void {
    if (this.#pushed < WORTH_TELLING || this.#over) return;
    this.#port.postMessage({ kind: 'taken', bytes: this.#pushed } satisfies Message);
    this.#pushed = 0;
  }

  write(chunk: unknown, done: (error?: Error) => void): void {
    if (chunk instanceof Uint8Array && chunk.length > PIECE) {
      const rest = chunk.subarray(PIECE);
      this.write(chunk.subarray(0, PIECE), (error) => {
        if (error !== undefined || this.#over) done(error);
        else this.write(rest, done);
      });
      return;
    }
    const refused = this.#over ? undefined : postChunk(this.#port, chunk, this.#isSocket);
    if (this.#over || refused !== undefined) {
      done(refused);
      return;
    }
    this.#underWay += sizeOf(chunk);
    if (chunk instanceof Uint8Array) this.bytesSent += chunk.length;
    if (this.#underWay < WINDOW) done();
    else this.#blocked = done;
  }

  end(done: () => void): void {
    if (this.#over) {
      done();
      return;
    }
    this.#finishing = done;
    this.#port.postMessage(END satisfies Message);
  }

  destroy(error: Error | null): void {
    this.#close(asDestroy(error));
    this.#unblock();
  }

  reset(): void {
    this.#close(RESET);
  }

  set(setting: Setting): void {
    if (!this.#over) this.#port.postMessage({ kind: 'set', setting } satisfies Message);
  }

  #close(message: Message): void {
    if (this.#over) return;
    this.#over = true;
    this.#port.postMessage(message);
    this.#port.close();
  }

  #unblock(): void {
    const blocked = this.#blocked;
    this.#blocked = undefined;
    blocked?.();
  }
}

function implementation(bridge: Bridge, shape: Shape) {
  const { readable, writable, allowHalfOpen, readableObjectMode, writableObjectMode } = shape;
  return {
    // A Duplex has a mode for each of its halves; the others know only this one.
    objectMode: readable && writable ? false : readableObjectMode || writableObjectMode,
    readableObjectMode,
    writableObjectMode,
    allowHalfOpen,
    ...(readable && {
      read: () => {
        bridge.read();
      },
    }),
    ...(writable && {
      write: (chunk: unknown, _encoding: BufferEncoding, done: (error?: Error) => void) => {
        bridge.write(chunk, done);
      },
      final: (done: () => void) => {
        bridge.end(done);
      },
    }),
    destroy: (error: Error | null, done: (error: Error | null) => void) => {
      bridge.destroy(error);
      done(error);
    },
  };
}

/** A stream as it crosses. */
export interface WireStream {
  port: MessagePort;
  shape: Shape;
}

function shapeOf(stream: Readable | Writable | Duplex, local?: AddressInfo): Shape {
  // One of which neither half is open stays what it is: its end, or its error, is what there is to be told.
  const closed = !('read' in stream && stream.readable) && !('write' in stream && stream.writable);
  const readable = 'read' in stream && (stream.readable || closed);
  const writable = 'write' in stream && (stream.writable || closed);
  const shape: Shape = {
    readable,
    writable,
    readableObjectMode: readable && stream.readableObjectMode,
    writableObjectMode: writable && stream.writableObjectMode,
    allowHalfOpen: !(stream instanceof Duplex) || stream.allowHalfOpen,
    encoding: (readable ? stream.readableEncoding : undefined) ?? undefined,
    address: undefined,
  };
  if (isSocket(stream)) shape.address = addressOf(stream, local);
  return shape;
}

/** The stream of the other side, as this side works with it. */
function workWith(port: BridgePort, shape: Shape): Readable | Writable | Duplex {
  const bridge = new Bridge(port, shape);
  let stream: Readable | Writable | Duplex;
  if (shape.address !== undefined) stream = new BridgedSocket(shape.address, bridge, shape.allowHalfOpen);
  else if (shape.readable && shape.writable) stream = new Duplex(implementation(bridge, shape));
  else if (shape.readable) stream = new ReadableClass(implementation(bridge, shape));
  else stream = new WritableClass(implementation(bridge, shape));
  if (shape.encoding !== undefined) (stream as Readable).setEncoding(shape.encoding);
  bridge.attach(stream);
  return stream;
}

/** The handler of all of them. */
export const streamHandler: TransferHandler<Readable | Writable | Duplex, WireStream> = {
  canHandle: (value) => value instanceof ReadableClass || value instanceof WritableClass,
  serialize: (stream) => {
    const { port1, port2 } = new MessageChannel();
    const shape = shapeOf(stream);
    serveStream(stream, port1);
    return [{ port: port2, shape }, [port2]];
  },
  deserialize: ({ port, shape }) => workWith(withEvents(port), shape),
};

/**
 * A socket that belongs to its task, as it crosses to a thread: the id of a port that shares the thread's task port, and of
 * the shape what may be different from one connection to the next.
 */
type WireServed = [id: number, readable: boolean, writable: boolean, address: Address | undefined];

/** What a message says of a socket that is bridged for one task; undefined when it is none. */
export function encodeServed(value: unknown, ports: PortMux): HandledValue | undefined {
  if (!(value instanceof ServedSocket)) return undefined;
  const { id, port } = ports.create();
  const { socket, local } = value;
  const { readable, writable, address } = shapeOf(socket, local);
  const wire: WireServed = [id, readable, writable, address];
  serveStream(socket, port);
  // With what has been read of it by then. Beside it stands the address of the peer.
  return { value: wire, handler: 'served-socket', soon: true, endsQuietly: true };
}

/** The ports that share the task port of this thread. */
let guestPorts: PortMux | undefined;

/** In a worker thread, before anything is decoded. */
export function useGuestPorts(ports: PortMux): void {
  guestPorts = ports;
}

const servedHandler: TransferHandler<unknown, WireServed> & { discard(wire: WireServed): void } = {
  canHandle: (value) => value instanceof ServedSocket,
  serialize: () => {
    throw new Error('Served sockets are sent by the back end');
  },
  deserialize: ([id, readable, writable, address]) => {
    const shape: Shape = {
      readable,
      writable,
      readableObjectMode: false,
      writableObjectMode: false,
      allowHalfOpen: true,
      encoding: undefined,
      address,
    };
    const socket = workWith((guestPorts as PortMux).open(id), shape) as Socket;
    belongToTask(socket);
    return socket;
  },
  discard: ([id]) => {
    guestPorts?.open(id).close();
  },
};

/** Node's Readable, Writable, Duplex and net.Socket. */
export const streamHandlers = [
  ['moved-socket', movedHandler],
  ['served-socket', servedHandler],
  ['node-stream', streamHandler],
] as unknown as NamedHandler[];
