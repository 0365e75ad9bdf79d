import { URL } from 'node:url';
import { BUNDLED } from '../bundled.js';

const { tasksFrom, ThreadPoolExecutor } = await import(new URL('index.js', BUNDLED));

const tasks = tasksFrom(new URL('../workers/functions.js', import.meta.url));

/**
 * This package in one file, as bundlers make it: how much of a first result is the time that Node takes for each module.
 * @returns {import('../contenders.js').Pool}
 */
export function start({ workers }) {
  const executor = new ThreadPoolExecutor(workers);
  return {
    caller:
      (name) =>
      (...args) =>
        executor.submit(tasks[name], ...args),
    stop: () => executor.shutdown({ cancelFutures: true }),
  };
}
