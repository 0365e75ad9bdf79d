/**
 * First in, first out, in constant time: `Array.prototype.shift` moves every entry of a long array.
 *
 * Invariant: entries before `#head` are delivered and cleared; they are dropped when they make up half of the array.
 */
export class Fifo<T> {
  #entries: (T | undefined)[] = [];
  #head = 0;

  get length(): number {
    return this.#entries.length - this.#head;
  }

  push(entry: T): void {
    this.#entries.push(entry);
  }

  shift(): T | undefined {
    if (this.#head === this.#entries.length) return undefined;
    const entry = this.#entries[this.#head];
    this.#entries[this.#head++] = undefined;
    if (this.#head === this.#entries.length) this.clear();
    else if (this.#head >= 1024 && this.#head * 2 >= this.#entries.length) {
      this.#entries.splice(0, this.#head);
      this.#head = 0;
    }
    return entry;
  }

  clear(): void {
    this.#entries = [];
    this.#head = 0;
  }

  *[Symbol.iterator](): IterableIterator<T> {
    for (let i = this.#head; i < this.#entries.length; i++) yield this.#entries[i] as T;
  }
}
