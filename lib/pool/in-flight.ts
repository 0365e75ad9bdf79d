import { now } from '#host';
import { type HostTable, SLOTS } from '../wire/claim-table.js';
import type { Task } from './task.js';
import { TaskList } from './task-list.js';

/**
 * The tasks that were sent to one worker and have not ended, and how far the worker has come with them. Each holds a slot.
 *
 * Without shared memory a task that was sent counts as begun, so no more is sent than the worker can begin.
 */
export class InFlight {
  /** How many there are. */
  size = 0;
  /** How many were sent in all; one that was taken back was not. */
  sent = 0;

  readonly #table: HostTable | undefined;
  readonly #capacity: number;
  readonly #nextNumber: () => number;
  readonly #slots: (Task | undefined)[] = [];
  readonly #free: number[] = [];
  /** Sent and, as far as is known, not begun; in the order sent. Begun ones are dropped when they are noticed. */
  readonly #ahead = new TaskList<Task>();
  /** The task that was begun last, as far as that was noticed, and when it was, in ms on the shared clock. */
  #latest: Task | undefined;
  #latestSince = 0;

  /** @param nextNumber - gives a positive 32-bit integer that no other sending of the pool has */
  constructor(table: HostTable | undefined, capacity: number, nextNumber: () => number) {
    this.#table = table;
    this.#capacity = capacity;
    this.#nextNumber = nextNumber;
  }

  /** Slots that are left. */
  get room(): number {
    return (this.#table === undefined ? this.#capacity : SLOTS) - this.size;
  }

  /** Tasks that the worker has not begun. */
  get unbegun(): number {
    return this.#table === undefined ? 0 : (this.sent - this.#table.begun) | 0;
  }

  /** Tasks that the worker has begun and not ended. */
  get active(): number {
    return this.#table === undefined ? this.size : (this.#table.begun - this.#table.ended) | 0;
  }

  /** How many the worker has begun since its start. */
  get progress(): number {
    return this.#table?.begun ?? this.sent;
  }

  /** The task in a slot. */
  at(slot: number): Task | undefined {
    return this.#slots[slot];
  }

  /** The task in a slot, unless it is another one than was sent by that number. */
  find(slot: unknown, number: unknown): Task | undefined {
    const task = this.#slots[slot as number];
    return task?.number === number ? task : undefined;
  }

  isBegun(task: Task): boolean {
    return (
      this.#slots[task.slot] === task && (this.#table === undefined || this.#table.isBegun(task.slot, task.number))
    );
  }

  /** All of them, by their slots. */
  *[Symbol.iterator](): IterableIterator<Task> {
    for (const task of this.#slots) if (task !== undefined) yield task;
  }

  /** Those that have begun. */
  begun(): Task[] {
    return [...this].filter((task) => this.isBegun(task));
  }

  /** Those that have not begun, in the order sent. */
  ahead(): Task[] {
    return [...this.#ahead].filter((task) => !this.isBegun(task));
  }

  /** Takes in a task that is about to be sent. */
  add(task: Task): void {
    const slot = this.#free.pop() ?? this.#slots.length;
    this.#slots[slot] = task;
    task.slot = slot;
    task.number = this.#nextNumber();
    if (task.id === 0) task.id = task.number;
    this.size++;
    this.sent++;
    this.#ahead.append(task);
    this.#table?.offer(slot, task.number);
  }

  /** Lets go of a task that has ended, or was not sent after all. */
  remove(task: Task): void {
    if (task.list === (this.#ahead as unknown)) this.#ahead.remove(task);
    if (task === this.#latest) this.#latest = undefined;
    this.#slots[task.slot] = undefined;
    this.#free.push(task.slot);
    task.slot = -1;
    this.size--;
  }

  /** Bars the worker from a task. @returns false when the worker has begun it, or when that cannot be known */
  reclaim(task: Task): boolean {
    return this.#table?.takeBack(task.slot, task.number) === true;
  }

  /** The oldest task that has not begun. */
  get oldest(): Task | undefined {
    this.#noticeBegun();
    return this.#ahead.first;
  }

  /** The oldest of those that have not begun, at most `count`, without what was moved there. */
  oldestOf(count: number): Task[] {
    this.#noticeBegun();
    const oldest: Task[] = [];
    for (const task of this.#ahead) {
      if (oldest.length === count) break;
      if (!task.moves) oldest.push(task);
    }
    return oldest;
  }

  /** Those that may not have begun and are of lower priority, without what was moved there. */
  lowerThan(priority: number): Task[] {
    return [...this.#ahead].filter((task) => task.priority < priority && !task.moves);
  }

  /**
   * About how long the worker goes on with what it runs, in ms. What has run for longer than its kind usually does may go on
   * for as long again as it is late.
   */
  get busyFor(): number {
    if (this.#table === undefined || this.active < this.#capacity) return 0;
    this.#noticeBegun();
    if (this.#latest === undefined) return 0;
    const { estimate = 0 } = this.#latest.callable;
    // Of several that are interleaved, one will end before.
    return this.#capacity > 1 ? estimate / this.#capacity : Math.abs(estimate - (now() - this.#latestSince));
  }

  /** Drops from those ahead what has been begun. */
  #noticeBegun(): void {
    const before = this.#latest;
    for (let task = this.#ahead.first; task !== undefined && this.isBegun(task); task = this.#ahead.first) {
      this.#ahead.remove(task);
      this.#latest = task;
    }
    if (this.#latest !== before) this.#latestSince = now();
  }
}
