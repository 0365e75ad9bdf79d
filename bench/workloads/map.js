import { OTHER_POOLS, PISCINA } from '../contenders.js';
import { check, many } from '../harness.js';

/** @type {import('../harness.js').Workload} */
export const workload = {
  title: 'map',
  what: 'Adding one to every item of an array, with the library’s own map where it has one: items a second.',
  contenders: ['ours', ...PISCINA, ...OTHER_POOLS, 'comlink', 'raw', 'raw-batched'],
  metrics: { rate: { label: 'items/s', unit: '/s', better: 'more' } },
  rounds: { full: 3, quick: 3 },
  size: (quick) => ({ items: Array.from({ length: quick ? 5_000 : 100_000 }, (_, i) => i) }),

  sample: (pool, { items }) =>
    pool.map ? pool.map('increment', items) : many(pool, 'increment', items.length, (i) => [items[i]]),

  measure(milliseconds, results, { items }) {
    check(results.length === items.length && results.every((result, i) => result === i + 1), 'an item');
    return { rate: (items.length / milliseconds) * 1000 };
  },
};
