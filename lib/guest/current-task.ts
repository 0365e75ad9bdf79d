/** What a task can learn about itself; see {@link currentTask}. */
export interface CurrentTask {
  /** The task's number, unique in its executor. */
  id: number;
  /** The name of the worker that runs it. */
  worker: string;
  /** Aborted when the executor wants the task to stop while other tasks keep its worker alive. */
  signal: AbortSignal;
  /** 1, and one more each time the task is tried again after its worker died. */
  attempt: number;
}

/** The task whose function is being called, as the runner keeps it: written for every task, read for few. */
export interface Current {
  /** What the host knows this sending of the task by. */
  number: number;
  id: number;
  attempt: number;
  worker: string;
  /** Gives the task's signal, made when first asked for. */
  signal: (number: number) => AbortSignal;
}

let current: Current | undefined;

/** Set around the call of a task's function. */
export function setCurrent(task: Current | undefined): void {
  current = task;
}

/** Whether a task's function is being called. */
export function isInTask(): boolean {
  return current !== undefined;
}

/**
 * Tells a task about itself. To be called in a worker, before the first `await` of the task: afterwards other tasks may
 * have begun.
 *
 * @throws Error when no task is beginning
 *
 * @example
 * ```ts
 * // tasks.js
 * import { task } from 'concurrent-futures';
 * import { currentTask } from 'concurrent-futures/worker';
 *
 * export const whoAmI = task(import.meta.url, function whoAmI() { return currentTask().worker; });
 * ```
 */
export function currentTask(): CurrentTask {
  if (current === undefined) {
    throw new Error('currentTask() is for tasks in a worker, before their first await: no task is beginning here');
  }
  const { number, id, worker, attempt } = current;
  return { id, worker, signal: current.signal(number), attempt };
}
