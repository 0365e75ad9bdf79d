import { Executor, Future, type ExecutorStats, type FutureResolvers, type TaskOptions } from 'concurrent-futures';
import { pending } from './futures.js';

/** A task that a {@link HandMadeExecutor} accepted; the spec decides when and how it ends. */
export interface HandMadeTask extends FutureResolvers<unknown> {
  callable: unknown;
  args: unknown[];
  options: TaskOptions | undefined;
}

/** An executor without workers: it notes what is submitted, and the spec settles the futures. */
export class HandMadeExecutor extends Executor {
  readonly tasks: HandMadeTask[] = [];
  /** How many more tasks find room; `ready()` waits while it is 0. */
  room = Infinity;
  /** Called for each task right after it was accepted, inside `submit`. */
  onSubmit: (task: HandMadeTask) => void = () => undefined;
  readonly #waiting: { resolve: () => void; reject: (reason: unknown) => void }[] = [];

  get waitingForRoom(): number {
    return this.#waiting.length;
  }

  /** The arguments of every task so far. */
  get inputs(): unknown[][] {
    return this.tasks.map((task) => task.args);
  }

  task(index: number): HandMadeTask {
    const task = this.tasks[index];
    if (task === undefined)
      throw new Error(`there is no task ${String(index)}: ${String(this.tasks.length)} were submitted`);
    return task;
  }

  /** Ends a task with the result of its callable. */
  run(index: number): void {
    const { callable, args, setRunningOrNotifyCancel, setResult, setException } = this.task(index);
    if (!setRunningOrNotifyCancel()) return;
    try {
      setResult((callable as (...args: unknown[]) => unknown)(...args));
    } catch (error) {
      setException(error);
    }
  }

  /** From now on every task runs inside `submit`. */
  runAtOnce(): this {
    this.onSubmit = (task) => {
      this.run(this.tasks.indexOf(task));
    };
    return this;
  }

  /** Makes room for so many tasks, and wakes who waits for it. */
  makeRoom(count: number): void {
    this.room += count;
    for (const { resolve } of this.#waiting.splice(0)) resolve();
  }

  /** Fails who waits for room, as an executor that breaks does. */
  failReady(reason: unknown): void {
    for (const { reject } of this.#waiting.splice(0)) reject(reason);
  }

  protected submitTask(callable: unknown, args: unknown[], options: TaskOptions | undefined): Future<unknown> {
    this.room--;
    const task = { ...pending(), callable, args, options };
    this.tasks.push(task);
    this.onSubmit(task);
    return task.future;
  }

  protected checkCallable(callable: unknown): void {
    if (typeof callable !== 'function') throw new TypeError('not callable');
  }

  protected hasRoom(): boolean {
    return this.room > 0;
  }

  ready(): Promise<void> {
    if (this.hasRoom()) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
    });
  }

  protected streamTask(): AsyncIterableIterator<unknown> {
    throw new Error('a hand-made executor streams nothing');
  }

  create(): Promise<never> {
    return Promise.reject(new Error('a hand-made executor creates nothing'));
  }

  join(): Promise<void> {
    return Promise.resolve();
  }

  stats(): ExecutorStats {
    throw new Error('a hand-made executor counts nothing');
  }

  shutdown(): Promise<void> {
    return Promise.resolve();
  }

  terminateWorkers(): Promise<void> {
    return Promise.resolve();
  }
}
