import { POOLS } from '../contenders.js';
import { check, many } from '../harness.js';

/** @type {import('../harness.js').Workload} */
export const workload = {
  title: '64 KB copied in and out',
  what: 'Tasks that take a Uint8Array of 65,536 bytes and return it, all submitted at once: the time of one.',
  contenders: ['ours', ...POOLS, 'comlink', 'raw'],
  metrics: { time: { label: 'time a task', unit: 'µs', better: 'less' } },
  rounds: { full: 15, quick: 5 },
  size: (quick) => ({ count: quick ? 100 : 300, bytes: new Uint8Array(65_536).fill(7) }),

  sample: (pool, { count, bytes }) => many(pool, 'echo', count, () => [bytes]),

  measure(milliseconds, copies, { count, bytes }) {
    check(
      copies.length === count && copies.every((copy) => copy.length === bytes.length && copy[65_535] === 7),
      'a copy',
    );
    return { time: (milliseconds / count) * 1000 };
  },
};
