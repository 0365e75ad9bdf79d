import { POOLS } from '../contenders.js';
import { check } from '../harness.js';

const SIZE = 2 ** 20;

/** @type {import('../harness.js').Workload} */
export const workload = {
  title: '1 MB transferred',
  what: 'One ArrayBuffer of 1 MB goes to a worker and comes back, again and again: the time of one trip. poolifier can move it only one way and jest-worker neither, so there it is copied.',
  contenders: ['ours', ...POOLS, 'comlink', 'raw'],
  metrics: { trip: { label: 'round trip', unit: 'µs', better: 'less' } },
  rounds: { full: 15, quick: 5 },
  size: (quick) => ({ count: quick ? 100 : 300 }),

  async sample(pool, { count }) {
    let buffer = new ArrayBuffer(SIZE);
    for (let i = 0; i < count; i++) buffer = await pool.pass(buffer);
    return buffer;
  },

  measure(milliseconds, buffer, { count }) {
    check(buffer.byteLength === SIZE, 'the buffer');
    return { trip: (milliseconds / count) * 1000 };
  },
};
