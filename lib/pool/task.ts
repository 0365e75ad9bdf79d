import { needsEncoding } from '../comlink.js';
import type { TaskOptions } from '../executor.js';
import { createFuture, type Future, type FutureSource } from '../future.js';
import type { TaskDescription } from '../lost-failures.js';
import type { SubmitSite } from '../site.js';
import type { Callable } from './callables.js';
import type { Epoch } from './epochs.js';
import type { StreamReader } from './result-stream.js';
import type { Linked, TaskList } from './task-list.js';
import type { WorkerRunner } from './worker-runner.js';

/** A task that is more than a call: one that makes an object which stays, or a generator and who reads it. */
export type Special = 'create' | StreamReader;

/** Who decides about a task that has not begun. */
export interface TaskOwner {
  withdraw(task: Task): boolean;
}

/**
 * One call to be made in a worker. It is in the queue, or in flight to a worker (`runner` set), or ended. Kept small:
 * there may be a million of them.
 */
export class Task implements FutureSource, Linked {
  readonly owner: TaskOwner;
  readonly future: Future<unknown>;
  readonly callable: Callable;
  readonly args: unknown[];
  /** Position in the order of submission. */
  readonly order: number;
  readonly priority: number;
  /** Undefined for nearly all tasks. */
  readonly options: TaskOptions | undefined;
  readonly epoch: Epoch;
  readonly site: SubmitSite | undefined;
  /** When it was submitted, in ms on the clock shared with the workers. */
  readonly submitted: number;
  /** Undefined for a plain call. */
  readonly special: Special | undefined;
  /** Some of its arguments are moved or encoded when it is sent, so it can be sent only once. */
  readonly moves: boolean;
  attempt = 1;

  /** Where it is linked in: the queue's bucket, or the tasks sent ahead to a worker. */
  list: TaskList<never> | undefined = undefined;
  previous: Linked | undefined = undefined;
  next: Linked | undefined = undefined;

  /** The worker that it is in flight to. */
  runner: WorkerRunner | undefined = undefined;
  slot = -1;

  constructor(
    owner: TaskOwner,
    callable: Callable,
    args: unknown[],
    order: number,
    options: TaskOptions | undefined,
    epoch: Epoch,
    site: SubmitSite | undefined,
    submitted: number,
    special: Special | undefined,
  ) {
    this.special = special;
    this.moves = options?.transfer !== undefined || (args.length > 0 && args.some(needsEncoding));
    this.owner = owner;
    this.callable = callable;
    this.args = args;
    this.order = order;
    this.priority = options?.priority ?? 0;
    this.options = options;
    this.epoch = epoch;
    this.site = site;
    this.submitted = submitted;
    this.future = createFuture(this);
  }

  /** The number that workers claim it by: its order, as a positive 32-bit integer. */
  get number(): number {
    return (this.order % 0x7fff_ffff) + 1;
  }

  /** Whether it needs a message of its own. */
  get rich(): boolean {
    return this.moves || this.special !== undefined || this.attempt > 1 || this.options?.timeout !== undefined;
  }

  begun(): boolean {
    return this.runner?.isBegun(this) === true;
  }

  withdraw(): boolean {
    return this.owner.withdraw(this);
  }

  describe(): TaskDescription {
    const { site } = this;
    return { name: this.callable.name, site: () => site?.lines() ?? '' };
  }
}
