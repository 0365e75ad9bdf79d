import { URL } from 'node:url';
import { tasksFrom, ThreadPoolExecutor, transfer } from 'concurrent-futures';

const file = new URL('../workers/functions.js', import.meta.url);
const moving = tasksFrom(new URL('../workers/ours-moving.js', import.meta.url));

/** Calls that send the function's own source, written inline as a user would. */
const bySource = {
  add: (executor) => (x, y) => executor.submit((a, b) => a + b, x, y),
  factorial: (executor) => (count) =>
    executor.submit((n) => {
      let product = 1n;
      for (let factor = 2n; factor <= n; factor++) product *= factor;
      return product;
    }, count),
};

/** @returns {import('../contenders.js').Pool} */
export function start({ workers, warm, source = false, priority = false }) {
  const executor = new ThreadPoolExecutor(workers, warm ? { minWorkers: workers } : {});
  const tasks = tasksFrom(file);

  function caller(name) {
    if (source) return bySource[name](executor);
    const callable = tasks[name];
    if (priority && name === 'spin') {
      const urgent = executor.with({ priority: 1 });
      return (...args) => urgent.submit(callable, ...args);
    }
    return (...args) => executor.submit(callable, ...args);
  }

  return {
    caller,
    map: (name, items) => executor.map(tasks[name], items),
    async sum(count, ahead) {
      const target = ahead === undefined ? executor : executor.with({ highWaterMark: ahead });
      let sum = 0;
      for await (const item of target.stream(tasks.numbers, count)) sum += item;
      return sum;
    },
    pass: (buffer) => executor.submit(moving.pass, transfer(buffer, [buffer])),
    cancel: (future) => future.cancel(),
    stop: () => executor.shutdown({ cancelFutures: true }),
  };
}
