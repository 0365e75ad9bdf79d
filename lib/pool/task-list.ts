/** What can stand in one `TaskList` at a time. The links are the entry's own fields, so that leaving costs no search. */
export interface Linked {
  list: TaskList<never> | undefined;
  previous: Linked | undefined;
  next: Linked | undefined;
}

/**
 * A doubly linked list through the entries themselves: append, prepend, take and remove in constant time.
 *
 * Invariant: `entry.list` is this list exactly while the entry is in it.
 */
export class TaskList<T extends Linked> {
  #first: T | undefined;
  #last: T | undefined;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  get first(): T | undefined {
    return this.#first;
  }

  append(entry: T): void {
    this.insertBefore(entry, undefined);
  }

  /** Inserts before `next`, or at the end when it is undefined. */
  insertBefore(entry: T, next: T | undefined): void {
    const previous = next === undefined ? this.#last : (next.previous as T | undefined);
    entry.list = this as unknown as TaskList<never>;
    entry.previous = previous;
    entry.next = next;
    if (previous === undefined) this.#first = entry;
    else previous.next = entry;
    if (next === undefined) this.#last = entry;
    else next.previous = entry;
    this.#length++;
  }

  /** Removes an entry of this list. */
  remove(entry: T): void {
    const previous = entry.previous as T | undefined;
    const next = entry.next as T | undefined;
    if (previous === undefined) this.#first = next;
    else previous.next = next;
    if (next === undefined) this.#last = previous;
    else next.previous = previous;
    entry.list = undefined;
    entry.previous = undefined;
    entry.next = undefined;
    this.#length--;
  }

  shift(): T | undefined {
    const entry = this.#first;
    if (entry !== undefined) this.remove(entry);
    return entry;
  }

  *[Symbol.iterator](): IterableIterator<T> {
    // The next one is read before the current is handed out, so that it may be removed.
    for (let entry = this.#first, next: T | undefined; entry !== undefined; entry = next) {
      next = entry.next as T | undefined;
      yield entry;
    }
  }
}
