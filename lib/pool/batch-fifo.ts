import { Fifo } from '../fifo.js';

/**
 * First in, first out, of entries that come in arrays. It takes each array as it is: nothing is copied.
 *
 * Invariant: `#batch` holds the next entry at `#at`, unless there is none; entries before `#at` are delivered and cleared.
 */
export class BatchFifo<T> {
  readonly #batches = new Fifo<(T | undefined)[]>();
  #batch: (T | undefined)[] = [];
  #at = 0;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** Takes the entries of an array, which is its own from then on. */
  push(batch: (T | undefined)[]): void {
    if (batch.length === 0) return;
    if (this.#length === 0) {
      this.#batch = batch;
      this.#at = 0;
    } else {
      this.#batches.push(batch);
    }
    this.#length += batch.length;
  }

  shift(): T | undefined {
    if (this.#length === 0) return undefined;
    const entry = this.#batch[this.#at];
    this.#batch[this.#at++] = undefined;
    this.#length--;
    if (this.#at === this.#batch.length) {
      this.#batch = this.#batches.shift() ?? [];
      this.#at = 0;
    }
    return entry;
  }

  clear(): void {
    this.#batches.clear();
    this.#batch = [];
    this.#length = 0;
  }
}
