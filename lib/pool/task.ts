import { needsEncoding } from '../comlink.js';
import type { TaskOptions } from '../executor.js';
import { createFuture, type Future, type FutureSource, isFuture, keepExamples } from '../future.js';
import type { TaskDescription } from '../lost-failures.js';
import type { Site } from '../site.js';
import type { Backend } from './backend.js';
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

/** What most tasks have nothing of. */
export interface TaskExtra {
  readonly options: TaskOptions | undefined;
  /** Undefined for a plain call. */
  readonly special: Special | undefined;
  /** Some of its arguments may be moved when it is sent, so it is sent only where it can begin. */
  readonly moves: boolean;
  /** Some of them have been moved: it cannot be sent again. */
  moved: boolean;
}

/**
 * One call to be made in a worker. It is in the queue, or in flight to a worker (`runner` set), or ended. Kept small:
 * there may be a million of them.
 */
export class Task implements FutureSource, Linked {
  readonly future: Future<unknown>;
  readonly callable: Callable;
  readonly args: unknown[];
  /** Position in the order of submission. */
  readonly order: number;
  readonly extra: TaskExtra | undefined;
  readonly epoch: Epoch;
  /** Where it was submitted; undefined only within that call. */
  site: Site | undefined;
  /** When it was submitted, in whole microseconds since the pool was made: small integers need no object of their own. */
  readonly submitted: number;
  attempt = 1;

  /** Where it is linked in: the queue's bucket, or the tasks sent ahead to a worker. */
  list: TaskList<never> | undefined = undefined;
  previous: Linked | undefined = undefined;
  next: Linked | undefined = undefined;

  /** The worker that it is in flight to. */
  runner: WorkerRunner | undefined = undefined;
  slot = -1;
  /** What workers claim it by: another one for each sending, so that a message of an earlier one is void. */
  number = 0;
  /** The number of its first sending: what it is called in its worker. */
  id = 0;

  constructor(
    callable: Callable,
    args: unknown[],
    order: number,
    extra: TaskExtra | undefined,
    epoch: Epoch,
    site: Site | undefined,
    submitted: number,
  ) {
    this.callable = callable;
    this.args = args;
    this.order = order;
    this.extra = extra;
    this.epoch = epoch;
    this.site = site;
    this.submitted = submitted;
    this.future = createFuture(this);
  }

  get options(): TaskOptions | undefined {
    return this.extra?.options;
  }

  get special(): Special | undefined {
    return this.extra?.special;
  }

  get moves(): boolean {
    return this.extra?.moves === true;
  }

  get moved(): boolean {
    return this.extra?.moved === true;
  }

  get priority(): number {
    return this.extra?.options?.priority ?? 0;
  }

  /** Whether it needs a message of its own. */
  get rich(): boolean {
    const { extra } = this;
    if (extra === undefined) return this.attempt > 1;
    return extra.moves || extra.special !== undefined || this.attempt > 1 || extra.options?.timeout !== undefined;
  }

  begun(): boolean {
    return this.runner?.isBegun(this) === true;
  }

  withdraw(): boolean {
    return this.callable.owner.withdraw(this);
  }

  describe(): TaskDescription {
    const { site } = this;
    return { name: this.callable.name, site: () => site?.lines() ?? '' };
  }
}

keepExamples(new Task(undefined as never, [], 0, undefined, undefined as never, undefined, 0));

/** What is out of the ordinary about a task; undefined for nearly all. */
export function extraOf(
  args: unknown[],
  options: TaskOptions | undefined,
  special: Special | undefined,
  handsOver: Backend['handsOver'],
): TaskExtra | undefined {
  let moves = options?.transfer !== undefined;
  for (const arg of args) {
    if (moves) break;
    if ((typeof arg === 'object' && arg !== null) || typeof arg === 'function')
      moves = isFuture(arg) || needsEncoding(arg) || handsOver?.(arg) === true;
  }
  return moves || options !== undefined || special !== undefined
    ? { options, special, moves, moved: false }
    : undefined;
}
