import { Fifo } from '../fifo.js';
import { disregard, type Future } from '../future.js';
import { cloneError, findUnclonable } from '../wire/unclonable.js';
import { BatchFifo } from './batch-fifo.js';
import type { Task } from './task.js';

/** Where a stream's task goes. */
export interface StreamTarget {
  submit(stream: StreamReader): Task;
  hasRoom(): boolean;
  ready(): Promise<void>;
}

/** Items that a generator may be ahead of its reader, when nothing is known of them. */
const FIRST_MARK = 16;
/**
 * The same for items that pass fast: as many as pass in a millisecond, and no more than this. With 16 a stream of small items
 * waits for the way there and back after each 16 of them.
 */
const MOST_MARK = 4096;
/** Items that have to pass before a stream counts as fast. */
const PROOF = 1024;
/** ms over which the speed is measured: of a fast stream, lest every pause of the engine counts, and of a slow one. */
const MEASURE_MS = { fast: 1, slow: 10 };

interface Pending {
  /** The handle that was read from: not to be collected while somebody waits for its next item. */
  handle: object;
  resolve: (result: IteratorResult<unknown>) => void;
  reject: (reason: unknown) => void;
}

/**
 * The reading end of a generator that runs in a worker. The generator runs as far as it has credit.
 *
 * Until its second call of `next` a reader gets one item a call, because only then it shows whether it sends values in, which
 * have to meet the right `yield`. A reader that sends none is then served ahead of its calls.
 */
export class StreamReader {
  readonly #target: StreamTarget;
  /** It was given no mark, so that it goes by how fast the items pass. */
  readonly adapts: boolean;
  /** Items that the generator may be ahead. */
  #mark: number;
  readonly #items = new BatchFifo<unknown>();
  readonly #readers = new Fifo<Pending>();
  #task: Task | undefined;
  #future: Future<unknown> | undefined;
  #calls = 0;
  #ahead = false;
  /** The generator has shown that it is there; before, credit would be lost. */
  #open = false;
  /** Items that the generator may still yield. The first one comes with the task. */
  #credit = 1;
  #sent: unknown[] = [];
  #end: PromiseSettledResult<unknown> | undefined;
  #returned = false;
  /** Items since the speed was measured last. */
  #passed = 0;
  /** When that was, in ms of `performance.now()`; long ago before the first. */
  #measuredAt = -Infinity;

  constructor(target: StreamTarget, highWaterMark: number | undefined) {
    this.#target = target;
    this.adapts = highWaterMark === undefined;
    this.#mark = highWaterMark ?? FIRST_MARK;
  }

  next(sent: unknown[], handle: object): Promise<IteratorResult<unknown>> {
    this.#calls++;
    if (this.#calls > 1) {
      if (sent.length > 0) this.#sent.push(sent[0]);
      else this.#ahead = true;
    }
    // An item that is there is there because nobody waits for it.
    if (this.#items.length > 0) {
      const value = this.#items.shift();
      this.#giveCredit();
      return Promise.resolve({ value, done: false });
    }
    return new Promise((resolve, reject) => {
      this.#readers.push({ handle, resolve, reject });
      if (this.#calls === 1) void this.#start();
      this.#serve();
    });
  }

  async return(value: unknown): Promise<IteratorResult<unknown>> {
    this.#returned = true;
    this.#items.clear();
    const future = this.#future;
    if (future !== undefined && !future.done() && !future.cancel()) {
      this.#rest();
      this.#task?.runner?.endStream(this.#task);
      try {
        await future;
      } finally {
        this.#finish();
      }
    }
    this.#finish();
    return { value, done: true };
  }

  /** Whether items have come, or nobody wants any more: then it is not tried again. */
  get isOver(): boolean {
    return this.#open || this.#returned;
  }

  /** Items have come. */
  receive(items: unknown[]): void {
    this.#open = true;
    this.#credit -= items.length;
    if (this.adapts) this.#adapt(items.length);
    if (!this.#returned) this.#items.push(items);
    // It was told before it was there: while its module was loaded, or by the worker that it was tried in before.
    else if (this.#task !== undefined) this.#task.runner?.endStream(this.#task);
    this.#serve();
  }

  async #start(): Promise<void> {
    try {
      while (!this.#target.hasRoom()) await this.#target.ready();
      if (this.#returned) return;
      this.#task = this.#target.submit(this);
      const { future, site } = this.#task;
      // Frames whose text has not been made yet hold what they were called on: this stream's handle among them.
      site?.lines();
      this.#future = future;
      disregard(future);
      future.addDoneCallback(() => {
        this.#end = future.outcome();
        this.#serve();
      });
      this.#rest();
    } catch (error) {
      this.#end = { status: 'rejected', reason: error };
      this.#serve();
    }
  }

  /** Brings items and calls of `next` together, then asks for more. */
  #serve(): void {
    while (this.#readers.length > 0) {
      if (this.#items.length > 0) {
        this.#readers.shift()?.resolve({ value: this.#items.shift(), done: false });
      } else if (this.#end !== undefined || this.#returned) {
        const end = this.#end;
        this.#end = { status: 'fulfilled', value: undefined };
        const reader = this.#readers.shift();
        if (end?.status === 'rejected' && !this.#returned) reader?.reject(end.reason);
        else reader?.resolve({ value: end?.status === 'fulfilled' ? end.value : undefined, done: true });
      } else {
        break;
      }
    }
    this.#rest();
    this.#giveCredit();
  }

  #giveCredit(): void {
    const task = this.#task;
    if (!this.#open || task?.runner === undefined || this.#returned || this.#end !== undefined) return;
    const wanted = this.#readers.length + (this.#ahead ? this.#mark : 0);
    const there = this.#credit + this.#items.length;
    const more = wanted - there;
    // Credit goes in lots, unless somebody waits and nothing is under way. In smaller ones where they are large enough to be
    // worth a message: then there is always one under way.
    if (more <= 0 || (there > 0 && more * (this.#mark > 32 ? 4 : 2) < this.#mark)) return;
    const sent = this.#sent.splice(0);
    try {
      task.runner.giveCredit(task, more, sent);
    } catch (cause) {
      // The generator was not resumed: whoever sent the value may send another.
      const error = cloneError('A value sent into the stream', findUnclonable(sent), cause);
      for (const reader of this.#readers) reader.reject(error);
      this.#readers.clear();
      return;
    }
    this.#credit += more;
  }

  /** The generator gives credit back: its items have become slow, or large. */
  takeBack(credit: number): void {
    this.#credit -= credit;
    this.#mark = FIRST_MARK;
    this.#passed = 0;
    this.#measuredAt = performance.now();
  }

  /** Follows the speed at which items pass: the slower they are, the fewer of them are ahead. */
  #adapt(items: number): void {
    const at = performance.now();
    const elapsed = at - this.#measuredAt;
    this.#passed += items;
    const proven = this.#passed >= PROOF;
    if (elapsed < (proven ? MEASURE_MS.fast : MEASURE_MS.slow)) return;
    const inOneMs = Math.floor(this.#passed / elapsed);
    this.#mark = Math.max(FIRST_MARK, Math.min(inOneMs, proven ? MOST_MARK : this.#mark));
    this.#passed = 0;
    this.#measuredAt = at;
  }

  /** While nobody reads, a stream is no reason to keep the process alive: a paused generator here would be none either. */
  #rest(): void {
    const resting = this.#readers.length === 0 && !this.#returned;
    if (this.#task?.runner !== undefined) this.#task.runner.setResting(this.#task, resting);
  }

  #finish(): void {
    for (const reader of this.#readers) reader.resolve({ value: undefined, done: true });
    this.#readers.clear();
  }
}

/** What `executor.stream` returns: a thin handle, so that a reader that was dropped half-way is noticed. */
export class ResultStream implements AsyncIterableIterator<unknown> {
  readonly #reader: StreamReader;

  constructor(reader: StreamReader) {
    this.#reader = reader;
    dropped.register(this, reader);
  }

  next(...sent: unknown[]): Promise<IteratorResult<unknown>> {
    return this.#reader.next(sent, this);
  }

  return(value?: unknown): Promise<IteratorResult<unknown>> {
    return this.#reader.return(value);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

/** Ends the generators of readers that were collected before they had read to the end. */
const dropped = new FinalizationRegistry<StreamReader>((reader) => {
  reader.return(undefined).catch(() => {
    // Nobody is left to hear of it.
  });
});
