import { encodeValue, type WireValue } from '../comlink.js';
import { ITEMS } from '../wire/protocol.js';
import { cloneError, findUnclonable } from '../wire/unclonable.js';
import type { GuestPort } from './task-runner.js';

type AnyGenerator = Iterator<unknown, unknown> | AsyncIterator<unknown, unknown>;

/**
 * Runs a generator as far as its reader has credit, and sends what it yields, as many items in a message as there are
 * without waiting.
 */
export class GuestStream {
  readonly #port: GuestPort;
  readonly #slot: number;
  readonly #number: number;
  readonly #name: string;
  readonly #generator: AnyGenerator;
  /** Runs a step of the generator as part of the task. */
  readonly #within: <T>(step: () => T) => T;
  #items: unknown[] = [];
  #handled: [number, string][] = [];
  /** What of an item is moved, by its position. */
  #moved: [number, readonly unknown[]][] = [];
  /** Items that the reader still wants; the first one it wants from the start. */
  #credit = 1;
  #sent: unknown[] = [];
  #returning = false;
  /** An item could not be sent. */
  #refused = false;
  #wake: (() => void) | undefined;

  constructor(
    port: GuestPort,
    slot: number,
    number: number,
    name: string,
    generator: AnyGenerator,
    within: <T>(step: () => T) => T,
  ) {
    this.#port = port;
    this.#slot = slot;
    this.#number = number;
    this.#name = name;
    this.#generator = generator;
    this.#within = within;
  }

  /** The reader wants `items` more. */
  addCredit(items: number, sent: unknown[]): void {
    this.#credit += items;
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
      const step = this.#next();
      const result: IteratorResult<unknown, unknown> = isThenable(step) ? await this.#waitFor(step) : step;
      const value: unknown = result.value;
      if (result.done === true) {
        this.#flush();
        return value;
      }
      this.#credit--;
      // As in `for await`: a promise that a sync generator yields is waited for.
      this.#push(isThenable(value) ? await this.#waitFor(value) : value);
    }
  }

  #next(): IteratorResult<unknown> | PromiseLike<IteratorResult<unknown>> {
    const sent = this.#sent;
    return this.#within(() => (sent.length > 0 ? this.#generator.next(sent.shift()) : this.#generator.next()));
  }

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

  #flush(): void {
    const items = this.#items;
    if (items.length === 0) return;
    const handled = this.#handled;
    const moved = this.#moved;
    this.#items = [];
    this.#handled = [];
    this.#moved = [];
    try {
      const transfer = moved.flatMap(([, list]) => list);
      this.#port.postMessage([ITEMS, this.#slot, this.#number, items, handled], transfer);
    } catch (cause) {
      this.#flushSingly(items, handled, moved, cause);
    }
  }

  /** One item cannot be cloned: those before it go, and it ends the stream at its place. */
  #flushSingly(items: unknown[], handled: [number, string][], moved: [number, readonly unknown[]][], cause: unknown) {
    items.forEach((item, i) => {
      const handlers = handled.filter(([position]) => position === i).map(([, name]): [number, string] => [0, name]);
      const transfer = moved.find(([position]) => position === i)?.[1] ?? [];
      try {
        this.#port.postMessage([ITEMS, this.#slot, this.#number, [item], handlers], transfer);
      } catch {
        this.#refused = true;
        throw cloneError(`Item of the stream ${this.#name}`, findUnclonable(item, transfer), cause);
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
