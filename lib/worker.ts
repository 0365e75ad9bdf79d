import { show } from './options.js';
import { serveTasks } from './guest/serve.js';

export { type CurrentTask, currentTask } from './guest/current-task.js';

/**
 * Makes a file of your own the worker of an executor: it offers `tasks`, which the other side names with
 * `tasksFrom<typeof import('./my-tasks.js')>()`. Call it once, at the top level of the worker's file.
 *
 * @throws TypeError when `tasks` is not an object
 * @throws Error outside a worker
 *
 * @example
 * ```ts
 * // my-worker.ts
 * import { expose } from 'concurrent-futures/worker';
 * import * as tasks from './my-tasks.js';
 *
 * expose(tasks);
 *
 * // main.ts: new ThreadPoolExecutor({ worker: () => new Worker(new URL('./my-worker.ts', import.meta.url)) })
 * ```
 */
export function expose(tasks: object): void {
  if (typeof tasks !== 'object' || (tasks as unknown) === null) {
    throw new TypeError(`expose needs an object of functions: received ${show(tasks)}`);
  }
  serveTasks(tasks);
}
