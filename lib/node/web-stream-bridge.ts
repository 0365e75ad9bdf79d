import { ReadableStream, TransformStream, WritableStream } from 'node:stream/web';
import type {
  ReadableStreamDefaultController,
  ReadableStreamDefaultReader,
  WritableStreamDefaultController,
  WritableStreamDefaultWriter,
} from 'node:stream/web';
import { WorkerDiedError } from '../errors.js';
import { Fifo } from '../fifo.js';
import { decodeError, encodeError, type WireError } from '../wire/errors.js';
import { cloneError, findUnclonable } from '../wire/unclonable.js';
import { sizeOf, WINDOW, WORTH_TELLING } from './stream-bridge.js';

/**
 * Web streams on the other side of a line between two processes. Whoever gives items sends them ahead, as much as WINDOW
 * allows, and is told how much has been taken. Unlike Node's streams these carry null, undefined, and reasons of any kind.
 */

/** One side of a line. What is sent by it arrives as it was sent, or not at all. */
export interface Line {
  /** @throws what serialization throws; then nothing was sent */
  post(message: unknown[]): void;
  /** Throws for what cannot be sent. */
  clone: (value: unknown) => unknown;
  close(): void;
}

/** What hears of what the other side does. */
export interface LineEnd {
  receive(message: unknown[]): void;
  /** Something has come that cannot be read here. */
  unreadable(): void;
  /** The other side is gone. */
  over(): void;
}

/** `[ITEM, item]` */
const ITEM = 0;
/** `[TAKEN, size]` */
const TAKEN = 1;
/** `[CLOSE]`: there are no more items. */
const CLOSE = 2;
/** `[CLOSED]`: a stream that is written has taken them all. */
const CLOSED = 3;
/** `[ERROR, error]`: whoever has the stream itself, or writes it, fails it. */
const ERROR = 4;
/** `[CANCEL, reason]`: whoever reads it wants no more. */
const CANCEL = 5;

const gone = () => new WorkerDiedError('The worker that this stream belongs to has ended');
const unreadable = () => new DOMException('A chunk of the stream cannot be read on its arrival', 'DataCloneError');

/** @throws DOMException that says what in it cannot be sent */
function postItem(line: Line, item: unknown): void {
  // Cloning takes all the memory that a view looks at: a small Buffer is part of a pool that others use.
  const isPart = item instanceof Uint8Array && item.length < item.buffer.byteLength;
  try {
    line.post([ITEM, isPart ? new Uint8Array(item) : item]);
  } catch (cause) {
    throw cloneError('A chunk of the stream', findUnclonable(item, [], line.clone), cause);
  }
}

function postReason(line: Line, kind: typeof ERROR | typeof CANCEL, reason: unknown): void {
  try {
    line.post([kind, encodeError(reason)]);
  } catch (cause) {
    line.post([kind, encodeError(cloneError('The reason why the stream ended', undefined, cause))]);
  }
  line.close();
}

/** How much is under way to the other side. */
class Credit {
  #underWay = 0;
  #resume: (() => void) | undefined;

  add(item: unknown): void {
    this.#underWay += sizeOf(item);
  }

  taken(size: number): void {
    this.#underWay -= size;
    if (this.#underWay < WINDOW) this.release();
  }

  /** Lets go on whoever waits. */
  release(): void {
    this.#resume?.();
    this.#resume = undefined;
  }

  /** What to wait for before there may be more. */
  get room(): Promise<void> | undefined {
    if (this.#underWay < WINDOW) return undefined;
    return new Promise((resolve) => {
      this.#resume = resolve;
    });
  }
}

/** Tells the other side how much has been taken, when that is worth a message. */
class Receipts {
  readonly #line: Line;
  #size = 0;

  constructor(line: Line) {
    this.#line = line;
  }

  add(item: unknown): void {
    this.#size += sizeOf(item);
    if (this.#size < WORTH_TELLING) return;
    this.#line.post([TAKEN, this.#size]);
    this.#size = 0;
  }
}

/** Where a stream is that is read on the other side. */
export class ReadableSource implements LineEnd {
  readonly #line: Line;
  readonly #reader: ReadableStreamDefaultReader<unknown>;
  readonly #credit = new Credit();
  #over = false;

  constructor(stream: ReadableStream<unknown>, line: Line) {
    this.#line = line;
    this.#reader = stream.getReader();
    void this.#pump();
  }

  receive([kind, value]: unknown[]): void {
    if (kind === TAKEN) this.#credit.taken(value as number);
    else if (kind === CANCEL) this.#cancel(decodeError(value as WireError));
  }

  unreadable(): void {
    this.#cancel(unreadable());
  }

  over(): void {
    this.#cancel(gone());
  }

  async #pump(): Promise<void> {
    try {
      for (;;) {
        const { done, value } = await this.#reader.read();
        if (this.#over) return;
        if (done) break;
        postItem(this.#line, value);
        this.#credit.add(value);
        await this.#credit.room;
      }
      this.#line.post([CLOSE]);
      this.#line.close();
    } catch (error) {
      if (this.#over) return;
      postReason(this.#line, ERROR, error);
      this.#cancel(error);
    }
  }

  #cancel(reason: unknown): void {
    if (this.#over) return;
    this.#over = true;
    this.#line.close();
    this.#credit.release();
    this.#reader.cancel(reason).catch(() => {
      // Nobody here asked for it.
    });
  }
}

/** The other side of it: what is read. */
export class ReadableBridge implements LineEnd {
  readonly stream: ReadableStream<unknown>;
  readonly #line: Line;
  readonly #receipts: Receipts;
  readonly #items = new Fifo<unknown>();
  #controller: ReadableStreamDefaultController<unknown> | undefined;
  #resume: (() => void) | undefined;
  /** How it ends once the items that have come are read. */
  #end: { error: unknown } | 'closed' | undefined;

  constructor(line: Line) {
    this.#line = line;
    this.#receipts = new Receipts(line);
    const source = {
      start: (controller: ReadableStreamDefaultController<unknown>) => {
        this.#controller = controller;
      },
      pull: () => this.#pull(),
      cancel: (reason: unknown) => {
        this.#items.clear();
        if (this.#end === undefined) postReason(line, CANCEL, reason);
      },
    };
    // What has not been read lies here, and not there: it has to be known what is taken.
    this.stream = new ReadableStream(source, { highWaterMark: 0 });
  }

  receive([kind, value]: unknown[]): void {
    if (kind === CLOSE) this.#endWith('closed');
    else if (kind === ERROR) this.#endWith({ error: decodeError(value as WireError) });
    else if (kind === ITEM) {
      this.#items.push(value);
      this.#resume?.();
    }
  }

  unreadable(): void {
    const error = unreadable();
    postReason(this.#line, CANCEL, error);
    this.#endWith({ error });
  }

  over(): void {
    this.#endWith({ error: gone() });
  }

  async #pull(): Promise<void> {
    if (this.#items.length === 0) {
      await new Promise<void>((resolve) => {
        this.#resume = resolve;
      });
      this.#resume = undefined;
      if (this.#items.length === 0) return;
    }
    const item = this.#items.shift();
    this.#controller?.enqueue(item);
    if (this.#end === undefined) this.#receipts.add(item);
    else this.#endIfRead();
  }

  #endWith(end: { error: unknown } | 'closed'): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    this.#line.close();
    this.#endIfRead();
    this.#resume?.();
  }

  #endIfRead(): void {
    if (this.#items.length > 0 || this.#end === undefined) return;
    if (this.#end === 'closed') this.#controller?.close();
    else this.#controller?.error(this.#end.error);
  }
}

/** Where a stream is that is written on the other side. */
export class WritableTarget implements LineEnd {
  readonly #line: Line;
  readonly #writer: WritableStreamDefaultWriter<unknown>;
  readonly #receipts: Receipts;
  #over = false;

  constructor(stream: WritableStream<unknown>, line: Line) {
    this.#line = line;
    this.#receipts = new Receipts(line);
    this.#writer = stream.getWriter();
    this.#writer.closed.catch((error: unknown) => {
      this.#tell(() => {
        postReason(line, ERROR, error);
      });
    });
  }

  receive([kind, value]: unknown[]): void {
    if (kind === ITEM) this.#write(value);
    else if (kind === CLOSE) this.#close();
    else if (kind === ERROR) this.#abort(decodeError(value as WireError));
  }

  unreadable(): void {
    const error = unreadable();
    postReason(this.#line, ERROR, error);
    this.#abort(error);
  }

  over(): void {
    this.#abort(gone());
  }

  #write(item: unknown): void {
    this.#writer.write(item).then(
      () => {
        if (!this.#over) this.#receipts.add(item);
      },
      () => {
        // It is told by `closed`.
      },
    );
  }

  #close(): void {
    this.#writer.close().then(
      () => {
        this.#tell(() => {
          this.#line.post([CLOSED]);
          this.#line.close();
        });
      },
      () => {
        // As above.
      },
    );
  }

  #tell(post: () => void): void {
    if (this.#over) return;
    this.#over = true;
    post();
  }

  #abort(reason: unknown): void {
    if (this.#over) return;
    this.#over = true;
    this.#line.close();
    this.#writer.abort(reason).catch(() => {
      // Nobody here asked for it.
    });
  }
}

/** The other side of it: what is written. */
export class WritableBridge implements LineEnd {
  readonly stream: WritableStream<unknown>;
  readonly #line: Line;
  readonly #credit = new Credit();
  #controller: WritableStreamDefaultController | undefined;
  #closing: { resolve: () => void; reject: (error: unknown) => void } | undefined;
  #failure: { error: unknown } | undefined;
  #over = false;

  constructor(line: Line) {
    this.#line = line;
    this.stream = new WritableStream({
      start: (controller) => {
        this.#controller = controller;
      },
      write: (item: unknown) => {
        try {
          postItem(line, item);
        } catch (error) {
          this.#end();
          postReason(line, ERROR, error);
          throw error;
        }
        this.#credit.add(item);
        return this.#credit.room?.then(() => {
          if (this.#failure !== undefined) throw this.#failure.error;
        });
      },
      close: () =>
        new Promise<void>((resolve, reject) => {
          this.#closing = { resolve, reject };
          line.post([CLOSE]);
        }),
      abort: (reason: unknown) => {
        if (this.#over) return;
        this.#end();
        postReason(line, ERROR, reason);
      },
    });
  }

  receive([kind, value]: unknown[]): void {
    if (kind === TAKEN) this.#credit.taken(value as number);
    else if (kind === CLOSED) {
      this.#end();
      this.#closing?.resolve();
    } else if (kind === ERROR) this.#fail(decodeError(value as WireError));
  }

  unreadable(): void {
    this.#fail(unreadable());
  }

  over(): void {
    this.#fail(gone());
  }

  #fail(error: unknown): void {
    if (this.#over) return;
    this.#failure = { error };
    this.#end();
    this.#controller?.error(error);
    this.#closing?.reject(error);
  }

  #end(): void {
    this.#over = true;
    this.#line.close();
    this.#credit.release();
  }
}

/** Both halves in one: its class is all that is left of the one that they were. */
export function transformOf(readable: ReadableStream<unknown>, writable: WritableStream<unknown>): TransformStream {
  return Object.defineProperties(new TransformStream(), {
    readable: { value: readable, configurable: true },
    writable: { value: writable, configurable: true },
  });
}
