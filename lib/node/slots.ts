/**
 * A bounded number of places, and a bounded line of those who wait for one: what a pooled server does with connections,
 * datagrams and requests alike.
 */
export class Slots<T> {
  readonly #places: () => number;
  readonly #mostWaiting: number;
  /** In the order of arrival. */
  readonly #line = new Set<T>();
  readonly #begin: (entry: T) => void;
  #taken = 0;
  #filling = false;

  /**
   * @param places - how many there are; may change
   * @param begin - is called for an entry that has a place; `release` gives the place back
   */
  constructor(places: () => number, mostWaiting: number, begin: (entry: T) => void) {
    this.#places = places;
    this.#mostWaiting = mostWaiting;
    this.#begin = begin;
  }

  /** Places taken. */
  get active(): number {
    return this.#taken;
  }

  /** Entries in line. */
  get waiting(): number {
    return this.#line.size;
  }

  /** @returns false when there is neither a place nor room in the line */
  enter(entry: T): boolean {
    if (this.#taken < this.#places()) {
      this.#taken++;
      this.#begin(entry);
      return true;
    }
    if (this.#line.size >= this.#mostWaiting) return false;
    this.#line.add(entry);
    return true;
  }

  /** Gives a place to whoever has waited longest. */
  release(): void {
    this.#taken--;
    // An entry that ends at once releases its place within `begin`: a long line of such must not become a deep stack.
    if (this.#filling) return;
    this.#filling = true;
    try {
      for (const entry of this.#line) {
        if (this.#taken >= this.#places()) break;
        this.#line.delete(entry);
        this.#taken++;
        this.#begin(entry);
      }
    } finally {
      this.#filling = false;
    }
  }

  /** Takes an entry out of the line. @returns false when it is not in line */
  leave(entry: T): boolean {
    return this.#line.delete(entry);
  }

  /** Sends everybody in line away. */
  clear(sendAway: (entry: T) => void): void {
    for (const entry of this.#line) sendAway(entry);
    this.#line.clear();
  }
}
