import { POOLS } from '../contenders.js';
import { check, many, WORKERS } from '../harness.js';
import { formatNumber } from '../statistics.js';
import { factorial } from '../workers/functions.js';

const N = 500;
const expected = factorial(N);

/** @type {import('../harness.js').Workload} */
export const workload = {
  title: 'BigInt factorial(500)',
  what: 'Tasks of some 50 µs each, all submitted at once: the time of all of them, and how near that is to the ideal, which is one worker doing all the work in a plain loop, divided by the number of workers.',
  contenders: [
    'ours',
    'ours-source',
    ...POOLS,
    'comlink',
    'raw',
    'raw-futures',
    'raw-batched',
    'split-by-hand',
    'ideal',
  ],
  metrics: { time: { label: 'time of all', unit: 'ms', better: 'less' } },
  rounds: { full: 5, quick: 3 },
  size: (quick) => ({ count: quick ? 1_000 : 10_000 }),

  sample(pool, { count }, id) {
    if (id === 'ideal') return pool.caller('factorialLoop')(N, count);
    if (id === 'split-by-hand') {
      const loop = pool.caller('factorialLoop');
      return Promise.all(Array.from({ length: WORKERS }, () => loop(N, count / WORKERS)));
    }
    return many(pool, 'factorial', count, () => [N]);
  },

  measure(milliseconds, results, { count }, id) {
    if (id === 'ideal') return { time: milliseconds / WORKERS };
    if (id !== 'split-by-hand') {
      check(results.length === count && results.every((result) => result === expected), 'a factorial');
    }
    return { time: milliseconds };
  },

  bars({ times }) {
    const limit = {
      text: `raw batches, a thenable each; ${formatNumber(times('split-by-hand', 'ideal', 'time'))}: two plain loops`,
      value: times('raw-futures', 'ideal', 'time'),
    };
    return [{ text: 'at least 0.90 of the ideal', value: times('ours', 'ideal', 'time'), atLeast: 0.9, limit }];
  },
};
