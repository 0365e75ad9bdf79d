import { now } from '#host';
import { channels } from '#diagnostics';
import type { WorkerDeath } from '../errors.js';
import type { ExecutorStats } from '../executor.js';
import { Durations } from './durations.js';
import { type Epoch, Epochs } from './epochs.js';
import type { Task } from './task.js';

/** Ends with the turn, for less than queueMicrotask of Node takes: that makes an object for async_hooks. */
const TURN = Promise.resolve();

/** What a ledger knows of the statistics of an executor. */
type Counts = Pick<ExecutorStats, 'submitted' | 'completed' | 'failed' | 'cancelled' | 'waitTime' | 'runTime'>;

/**
 * Keeps the books of a pool: counts what becomes of its tasks, and tells those who listen to the channels of diagnostics.
 * Each task is counted once when it is submitted and once when it ends, and then leaves its epoch when its future has told.
 */
export class Ledger {
  readonly #executor: object;
  /** When the pool was made, in ms on the shared clock. */
  readonly #made = now();
  readonly #epochs = new Epochs();
  readonly #waitTime = new Durations();
  readonly #runTime = new Durations();
  #submitted = 0;
  #completed = 0;
  #failed = 0;
  #cancelled = 0;
  /** Cancelled in this turn. */
  readonly #leaving: Task[] = [];

  /** @param executor - whom listeners are told of */
  constructor(executor: object) {
    this.#executor = executor;
  }

  /** Whole µs since the pool was made. */
  get age(): number {
    return Math.round((now() - this.#made) * 1000);
  }

  /** Tasks that have not ended. */
  get pending(): number {
    return this.#submitted - this.#completed - this.#failed - this.#cancelled;
  }

  counts(): Counts {
    return {
      submitted: this.#submitted,
      completed: this.#completed,
      failed: this.#failed,
      cancelled: this.#cancelled,
      waitTime: this.#waitTime.snapshot(),
      runTime: this.#runTime.snapshot(),
    };
  }

  /** Resolves when every task submitted so far has left. */
  join(): Promise<void> {
    return this.#epochs.join();
  }

  /** The epoch of a task that is being submitted. */
  enter(): Epoch {
    return this.#epochs.enter();
  }

  /** The task's future has told of its end. */
  leave({ epoch }: Task): void {
    this.#epochs.leave(epoch);
  }

  /** The task's future tells of its end in this turn. */
  leaveAfterTurn(task: Task): void {
    if (this.#leaving.push(task) > 1) return;
    void TURN.then(() => {
      for (const left of this.#leaving.splice(0)) this.leave(left);
    });
  }

  submitted(task: Task): void {
    this.#submitted++;
    if (channels.taskSubmitted.hasSubscribers) channels.taskSubmitted.publish(this.#trace(task));
  }

  started(task: Task): void {
    if (channels.taskStarted.hasSubscribers) channels.taskStarted.publish(this.#trace(task));
  }

  /** The task has run, from `began` to `ended` in ms on the shared clock. */
  timed(task: Task, began: number, ended: number): void {
    this.#runTime.record(ended - began);
    this.#waitTime.record(began - this.#made - task.submitted / 1000);
  }

  completed(task: Task, value: unknown): void {
    this.#completed++;
    if (channels.taskEnded.hasSubscribers) channels.taskEnded.publish({ ...this.#trace(task), value });
  }

  failed(task: Task, error: unknown): void {
    this.#failed++;
    if (channels.taskEnded.hasSubscribers) channels.taskEnded.publish({ ...this.#trace(task), error });
  }

  cancelled(task: Task): void {
    this.#cancelled++;
    if (channels.taskCancelled.hasSubscribers) channels.taskCancelled.publish(this.#trace(task));
  }

  workerStarted(worker: string): void {
    if (channels.workerStarted.hasSubscribers) channels.workerStarted.publish({ executor: this.#executor, worker });
  }

  workerEnded(worker: string, expected: boolean, death: WorkerDeath): void {
    if (!channels.workerEnded.hasSubscribers) return;
    channels.workerEnded.publish({ executor: this.#executor, worker, expected, death });
  }

  /** A task as the channels tell of it. */
  #trace({ order, callable, priority, attempt, future, runner }: Task): object {
    const task = { order, name: callable.name, priority, attempt, future };
    return { executor: this.#executor, task, worker: runner?.name };
  }
}
