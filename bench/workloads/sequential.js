import { POOLS } from '../contenders.js';
import { check } from '../harness.js';

/** @type {import('../harness.js').Workload} */
export const workload = {
  title: 'Sequential round trips',
  what: 'One task after the other, each awaited before the next: the time of one.',
  contenders: ['ours', 'ours-source', ...POOLS, 'comlink', 'raw'],
  metrics: { trip: { label: 'round trip', unit: 'µs', better: 'less' } },
  // Many short turns: a machine may wake threads at two speeds, and keeps to one for a while.
  rounds: { full: 51, quick: 9 },
  size: () => ({ count: 300 }),

  async sample(pool, { count }) {
    const call = pool.caller('add');
    let sum = 0;
    for (let i = 0; i < count; i++) sum += await call(i, 1);
    return sum;
  },

  measure(milliseconds, sum, { count }) {
    check(sum === (count * (count + 1)) / 2, 'the sum');
    return { trip: (milliseconds / count) * 1000 };
  },

  bars({ times, bestPool }) {
    return [
      { text: 'at most 1.10 times raw postMessage', value: 1 / times('ours', 'raw', 'trip'), atMost: 1.1 },
      { text: 'no slower than any pool', value: 1 / times('ours', bestPool('trip'), 'trip'), atMost: 1 },
    ];
  },
};
