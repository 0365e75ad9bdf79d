import { now } from '#host';
import { TimeoutError } from '../errors.js';
import { checkTimeout } from '../timeouts.js';
import type { Task } from './task.js';

/** ms that a timer is late when this thread was held up. */
const HELD_UP_MS = 5;

/**
 * The signals and time limits that tasks are under. One listener a signal, however many tasks; a timer only while a task
 * with a time limit runs.
 */
export class TaskLimits {
  readonly #signals = new Map<AbortSignal, { tasks: Set<Task>; release: () => void }>();
  readonly #timers = new Map<Task, ReturnType<typeof setTimeout>>();
  readonly #stop: (task: Task, reason: unknown) => void;

  /** @param stop - ends a task that a worker has begun */
  constructor(stop: (task: Task, reason: unknown) => void) {
    this.#stop = stop;
  }

  /** Puts a task under a signal. @returns false when the signal is aborted already */
  attach(task: Task, signal: AbortSignal): boolean {
    if (signal.aborted) return false;
    let entry = this.#signals.get(signal);
    if (entry === undefined) {
      const tasks = new Set<Task>();
      const aborted = () => {
        for (const each of [...tasks]) if (!each.future.cancel()) this.#stop(each, signal.reason);
      };
      signal.addEventListener('abort', aborted);
      const release = () => {
        signal.removeEventListener('abort', aborted);
      };
      entry = { tasks, release };
      this.#signals.set(signal, entry);
    }
    entry.tasks.add(task);
    return true;
  }

  /** The task has begun, at a time of the shared clock (0: now); its time limit runs from there. */
  start(task: Task, at: number): void {
    const timeout = checkTimeout(task.options?.timeout);
    if (timeout === undefined || task.future.done()) return;
    const left = at === 0 ? timeout : Math.max(0, timeout - (now() - at));
    const due = performance.now() + left;
    const expire = () => {
      this.#stop(
        task,
        new TimeoutError(`${task.callable.name} ran longer than its timeout of ${String(timeout)} ms and was stopped`),
      );
    };
    const timer = setTimeout(() => {
      // Timers come before messages: when this thread was held up, the result may be there and not have been read.
      if (performance.now() - due < HELD_UP_MS) expire();
      else this.#timers.set(task, setTimeout(expire, 1));
    }, left);
    this.#timers.set(task, timer);
  }

  /** The task waits for its next attempt. */
  pause(task: Task): void {
    const timer = this.#timers.get(task);
    if (timer === undefined) return;
    clearTimeout(timer);
    this.#timers.delete(task);
  }

  /** The task has ended. */
  release(task: Task): void {
    this.pause(task);
    const signal = task.options?.signal;
    const entry = signal === undefined ? undefined : this.#signals.get(signal);
    if (signal === undefined || entry === undefined) return;
    entry.tasks.delete(task);
    if (entry.tasks.size > 0) return;
    entry.release();
    this.#signals.delete(signal);
  }
}
