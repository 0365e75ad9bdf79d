import { now } from '#guest';
import { encodeValue, type WireValue } from '../comlink.js';
import { ITEMS } from '../wire/protocol.js';
import { cloneError, findUnclonable } from '../wire/unclonable.js';
import type { GuestPort } from './port.js';

/** ms that an item waits for others to go in the same message. */
const PATIENCE_MS = 1;
/** When fewer items than this came in that time, they are too slow, or too large, for many of them to be ahead of the reader. */
const FEW = 64;
/** Credit that is kept then, where it was given for fast items. */
const KEPT_CREDIT = 16;

/** Where what a stream yields goes. */
export interface StreamWay {
  port: GuestPort;
  slot: number;
  number: number;
  /** The generator's, for messages. */
  name: string;
  /** Whether the reader's credit follows the speed of the items. */
  adapts: boolean;
}

type AnyGenerator = Iterator<unknown, unknown> | AsyncIterator<unknown, unknown>;

/**
 * Runs a generator as far as its reader has credit, and sends what it yields, as many items in a message as there are
 * without waiting.
 */
export class GuestStream {
  readonly #way: StreamWay;
  readonly #generator: AnyGenerator;
  /** Runs a step of the generator as part of the task. */
  readonly #within: <T>(step: () => T) => T;
  #items: unknown[] = [];
  #handled: [number, string][] = [];
  /** What of an item is moved, by its position. */
  #moved: [number, readonly unknown[]][] = [];
  /** Items that the reader still wants; the first one it wants from the start. */
  #credit = 1;
  /** When something was sent last, or the reader gave credit. */
  #since = now();
  #sent: unknown[] = [];
  #returning = false;
  /** Its `return` was called: what is thrown now is of its `finally`. */
  #closing = false;
  /** An item could not be sent. */
  #refused = false;
  #wake: (() => void) | undefined;

  constructor(way: StreamWay, generator: AnyGenerator, within: <T>(step: () => T) => T) {
    this.#way = way;
    this.#generator = generator;
    this.#within = within;
  }

  /** The reader wants `items` more. */
  addCredit(items: number, sent: unknown[]): void {
    this.#credit += items;
    this.#since = now();
    this.#sent.push(...sent);
    this.#wake?.();
  }

  /** The reader wants no more: the generator's `finally` is run. */
  stop(): void {
    this.#returning = true;
    this.#wake?.();
  }

  /** Runs the generator to its end. Resolves with what it returns, rejects with what it throws. */
  async run(): Promise<unknown> {
    try {
      return await this.#run();
    } catch (error) {
      // It ran ahead of a reader who has left meanwhile: nobody has asked for the item that failed.
      if (this.#returning && !this.#closing) return undefined;
      if (this.#refused) await this.#returnAfter(error);
      this.#flush();
      throw error;
    }
  }

  async #run(): Promise<unknown> {
    for (;;) {
      if (this.#credit === 0 || this.#returning) {
        this.#flush();
        if (!this.#returning) await this.#woken();
        if (this.#returning) return await this.#return();
      }
      const step = this.#within(this.#next);
      const result: IteratorResult<unknown, unknown> = isThenable(step) ? await this.#waitFor(step) : step;
      const value: unknown = result.value;
      if (result.done === true) {
        this.#flush();
        return value;
      }
      this.#credit--;
      // As in `for await`: a promise that a sync generator yields is waited for.
      this.#push(isThenable(value) ? await this.#waitFor(value) : value);
      this.#flushLate();
    }
  }

  readonly #next = (): IteratorResult<unknown> | PromiseLike<IteratorResult<unknown>> => {
    const sent = this.#sent;
    return sent.length > 0 ? this.#generator.next(sent.shift()) : this.#generator.next();
  };

  /** What has been yielded goes while the generator waits; it does not wait for more. */
  async #waitFor<T>(step: PromiseLike<T>): Promise<T> {
    let settled = false;
    const watched = Promise.resolve(step).finally(() => {
      settled = true;
    });
    // A generator that yields without waiting for anything settles within a few microtasks: those go together.
    for (let turn = 0; turn < 4; turn++) await Promise.resolve();
    if (!settled) this.#flush();
    return watched;
  }

  async #return(): Promise<unknown> {
    this.#closing = true;
    const result = await this.#within(() => this.#generator.return?.());
    return result?.value;
  }

  /** The generator has not failed itself, so it does not know yet. What its `finally` throws counts less than the reason. */
  async #returnAfter(reason: unknown): Promise<void> {
    try {
      await this.#return();
    } catch {
      throw reason;
    }
  }

  #woken(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = undefined;
        resolve();
      };
    });
  }

  #push(value: unknown): void {
    let wire: WireValue | undefined;
    try {
      wire = encodeValue(value);
    } catch (error) {
      this.#refused = true;
      throw error;
    }
    if (wire === undefined) {
      this.#items.push(value);
      return;
    }
    if (wire.handler !== undefined) this.#handled.push([this.#items.length, wire.handler]);
    if (wire.transfer.length > 0) this.#moved.push([this.#items.length, wire.transfer]);
    this.#items.push(wire.value);
  }

  /** What a generator that takes its time has made does not wait for what it has yet to make. */
  #flushLate(): void {
    // Not at each of many items: to read the clock costs as much as to make a small one.
    const count = this.#items.length;
    if (count >= 8 && count % 2 > 0) return;
    if (now() - this.#since > PATIENCE_MS) this.#flush(count < FEW ? this.#surplus() : 0);
  }

  /** Takes out what was given for items that are faster than these. */
  #surplus(): number {
    const surplus = this.#way.adapts ? Math.max(0, this.#credit - KEPT_CREDIT) : 0;
    this.#credit -= surplus;
    return surplus;
  }

  #flush(returned = 0): void {
    const items = this.#items;
    if (items.length === 0) return;
    const { port, slot, number } = this.#way;
    this.#since = now();
    const handled = this.#handled;
    const moved = this.#moved;
    this.#items = [];
    this.#handled = [];
    this.#moved = [];
    try {
      const transfer = moved.flatMap(([, list]) => list);
      port.postMessage([ITEMS, slot, number, items, handled, returned], transfer);
    } catch (cause) {
      this.#flushSingly(items, handled, moved, returned, cause);
    }
  }

  /** One item cannot be cloned: those before it go, and it ends the stream at its place. */
  #flushSingly(
    items: unknown[],
    handled: [number, string][],
    moved: [number, readonly unknown[]][],
    returned: number,
    cause: unknown,
  ) {
    const { port, slot, number, name } = this.#way;
    items.forEach((item, i) => {
      const handlers = handled.filter(([position]) => position === i).map(([, name]): [number, string] => [0, name]);
      const transfer = moved.find(([position]) => position === i)?.[1] ?? [];
      try {
        port.postMessage([ITEMS, slot, number, [item], handlers, i === 0 ? returned : 0], transfer);
      } catch {
        this.#refused = true;
        throw cloneError(`Item of the stream ${name}`, findUnclonable(item, transfer, port.clone), cause);
      }
    });
  }
}

function isThenable<T>(value: unknown): value is PromiseLike<T> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function';
}

/** The generator that a callable has returned. @throws TypeError when it is none */
export function generatorOf(returned: unknown, name: string): AnyGenerator {
  if (typeof returned === 'object' && returned !== null) {
    const { next } = returned as { next?: unknown };
    if (typeof next === 'function') return returned as AnyGenerator;
    const { [Symbol.asyncIterator]: async, [Symbol.iterator]: sync } = returned as Record<symbol, unknown>;
    if (typeof async === 'function') return (async as () => AnyGenerator).call(returned);
    if (typeof sync === 'function') return (sync as () => AnyGenerator).call(returned);
  }
  throw new TypeError(`stream needs a generator function: ${name} returned ${typeof returned}`);
}
