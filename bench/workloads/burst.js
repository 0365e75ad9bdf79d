import { POOLS } from '../contenders.js';
import { check, many } from '../harness.js';
import { formatNumber } from '../statistics.js';

/** @type {import('../harness.js').Workload} */
export const workload = {
  title: 'Burst',
  what: 'Tasks that add two numbers, all submitted at once: how many a second. Raw batches have one promise for a hundred tasks; the rows above them show what is left of their speed when each task has something to await, and when in addition it can be cancelled for certain.',
  contenders: ['ours', 'ours-source', ...POOLS, 'comlink', 'raw', 'raw-claimed', 'raw-futures', 'raw-batched'],
  metrics: { rate: { label: 'tasks/s', unit: '/s', better: 'more' } },
  rounds: { full: 9, quick: 3 },
  size: (quick) => ({ count: quick ? 5_000 : 20_000 }),

  sample: (pool, { count }) => many(pool, 'add', count, (i) => [i, 1]),

  measure(milliseconds, sums, { count }) {
    check(sums.length === count && sums.every((sum, i) => sum === i + 1), 'a sum');
    return { rate: (count / milliseconds) * 1000 };
  },

  bars({ times, bestPool }) {
    const bar = (text, other, atLeast) => ({
      text,
      value: times('ours', other, 'rate'),
      atLeast,
      limit: {
        text: `raw batches, a thenable and a claim word each; ${formatNumber(times('raw-futures', other, 'rate'))}: without the word`,
        value: times('raw-claimed', other, 'rate'),
      },
    });
    return [
      bar('at least 10 times the best pool', bestPool('rate'), 10),
      bar('at least half of raw batches', 'raw-batched', 0.5),
    ];
  },
};
