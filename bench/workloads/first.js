import { performance } from 'node:perf_hooks';
import { OTHER_POOLS, startContender } from '../contenders.js';
import { check, WORKERS } from '../harness.js';
import { formatNumber } from '../statistics.js';

/** @type {import('../harness.js').Workload} */
export const workload = {
  title: 'First result',
  what: 'A new executor in a fresh process: from its construction to the first result, from the start of the process to the first result (so with loading the library), and until the process has ended.',
  contenders: ['ours', 'ours-source', 'piscina', ...OTHER_POOLS, 'comlink', 'raw'],
  metrics: {
    first: { label: 'construction to result', unit: 'ms', better: 'less' },
    sinceStart: { label: 'process start to result', unit: 'ms', better: 'less' },
    process: { label: 'whole process', unit: 'ms', better: 'less' },
  },
  rounds: { full: 11, quick: 3 },
  size: () => ({}),
  endsByItself: true,

  async alone(id) {
    let constructed;
    const pool = await startContender(id, {
      workers: WORKERS,
      warm: false,
      onLoaded: () => (constructed = performance.now()),
    });
    const sum = await pool.caller('add')(1, 2);
    const result = performance.now();
    check(sum === 3, 'the sum');
    Promise.resolve(pool.stop()).catch(() => {}); // not awaited: poolifier's promise sometimes stays pending
    return { first: result - constructed, sinceStart: result }; // the clock began with the process
  },

  bars({ times, bestPool }) {
    return ['first', 'sinceStart'].map((metric) => ({
      text: `no later than the best pool (${metric === 'first' ? 'from construction' : 'from process start'})`,
      value: 1 / times('ours', bestPool(metric), metric),
      atMost: 1,
      limit: {
        text: `raw postMessage; ${formatNumber(1 / times('comlink', bestPool(metric), metric))}: raw Comlink`,
        value: 1 / times('raw', bestPool(metric), metric),
      },
    }));
  },
};
