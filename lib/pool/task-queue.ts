import { type Linked, TaskList } from './task-list.js';

/** What the queue needs to know of a task. */
export interface Queueable extends Linked {
  readonly priority: number;
  /** Position in the order of submission. */
  readonly order: number;
}

/** The tasks of one priority, in the order of their submission. */
class Bucket<T extends Queueable> extends TaskList<T> {
  readonly priority: number;

  constructor(priority: number) {
    super();
    this.priority = priority;
  }
}

/**
 * The tasks that no worker has been given: higher priorities first, equal ones in the order of submission.
 *
 * A bucket for each priority, and a binary heap of the buckets. A bucket that has become empty stays in the heap until it
 * comes to the top, or until such buckets are the majority. `push`, `take` and `remove` take O(1) for the priority at the top, else
 * O(log p) for p priorities; `putBack` also passes the tasks put back before.
 *
 * Invariant: each bucket in `#buckets` is in `#heap` exactly once; `#length` is the sum of the buckets' lengths.
 */
export class TaskQueue<T extends Queueable> {
  readonly #buckets = new Map<number, Bucket<T>>();
  #heap: Bucket<T>[] = [];
  #length = 0;
  #empty = 0;

  get length(): number {
    return this.#length;
  }

  /** The task that `take` would give. */
  get first(): T | undefined {
    return this.#top()?.first;
  }

  push(task: T): void {
    this.#bucket(task.priority).append(task);
    this.#length++;
  }

  take(): T | undefined {
    const top = this.#top();
    const task = top?.shift();
    if (task === undefined) return undefined;
    this.#length--;
    // Dropped now: a bucket of a higher priority would bury it.
    if (top?.length === 0) this.#top();
    return task;
  }

  /** True when the task is in this queue, not elsewhere. */
  has(task: T): boolean {
    return task.list !== undefined && this.#buckets.get(task.priority) === (task.list as unknown);
  }

  /** Removes a task that is in the queue. */
  remove(task: T): void {
    this.#bucket(task.priority).remove(task);
    this.#length--;
    const bucket = this.#buckets.get(task.priority);
    if (bucket?.length === 0 && this.#heap.length > 16) this.#countEmpty();
  }

  /** Puts tasks that were taken back in their places. They must be in the order of submission. */
  putBack(tasks: Iterable<T>): void {
    const places = new Map<Bucket<T>, T | undefined>();
    for (const task of tasks) {
      const bucket = this.#bucket(task.priority);
      let next = places.has(bucket) ? places.get(bucket) : bucket.first;
      while (next !== undefined && next.order < task.order) next = next.next as T | undefined;
      places.set(bucket, next);
      bucket.insertBefore(task, next);
      this.#length++;
    }
  }

  *[Symbol.iterator](): IterableIterator<T> {
    for (const bucket of [...this.#heap].sort((a, b) => b.priority - a.priority)) yield* bucket;
  }

  #bucket(priority: number): Bucket<T> {
    let bucket = this.#buckets.get(priority);
    if (bucket === undefined) {
      bucket = new Bucket(priority);
      this.#buckets.set(priority, bucket);
      this.#heap.push(bucket);
      this.#rise(this.#heap.length - 1);
    }
    return bucket;
  }

  #top(): Bucket<T> | undefined {
    for (;;) {
      const top = this.#heap[0];
      // A lone empty bucket is kept: the next task most likely has the same priority.
      if (top === undefined || top.length > 0 || this.#heap.length === 1) return top;
      this.#buckets.delete(top.priority);
      const last = this.#heap.pop();
      if (last !== undefined && this.#heap.length > 0) {
        this.#heap[0] = last;
        this.#sink(0);
      }
    }
  }

  /** Rebuilds the heap when most of it may be empty buckets, so that many priorities used once leave nothing behind. */
  #countEmpty(): void {
    this.#empty++;
    if (this.#empty * 2 < this.#heap.length) return;
    this.#empty = 0;
    this.#heap = this.#heap.filter((bucket) => bucket.length > 0 || !this.#buckets.delete(bucket.priority));
    this.#heap.sort((a, b) => b.priority - a.priority);
  }

  #rise(at: number): void {
    const heap = this.#heap;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if ((heap[parent] as Bucket<T>).priority >= (heap[at] as Bucket<T>).priority) return;
      this.#swap(at, parent);
      at = parent;
    }
  }

  #sink(at: number): void {
    const heap = this.#heap;
    for (;;) {
      let largest = at;
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < heap.length && (heap[child] as Bucket<T>).priority > (heap[largest] as Bucket<T>).priority) {
          largest = child;
        }
      }
      if (largest === at) return;
      this.#swap(at, largest);
      at = largest;
    }
  }

  #swap(a: number, b: number): void {
    const heap = this.#heap;
    [heap[a], heap[b]] = [heap[b] as Bucket<T>, heap[a] as Bucket<T>];
  }
}
