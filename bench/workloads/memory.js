import process from 'node:process';
import { setTimeout as delay } from 'node:timers/promises';
import { OTHER_POOLS, startContender } from '../contenders.js';
import { closeGates } from '../gates.js';
import { many, WORKERS } from '../harness.js';

const MB = 2 ** 20;

async function measure() {
  await delay(100);
  globalThis.gc();
  globalThis.gc();
  const { rss, heapUsed, external } = process.memoryUsage();
  return { rss, heap: heapUsed + external };
}

/** @type {import('../harness.js').Workload} */
export const workload = {
  title: 'Memory',
  what: 'A process with two workers that have run 2,000 tasks and idle; and what a queued task adds to it, its future included, with 1,000,000 tasks of two small integers (the others: 200,000) behind two that block the workers: on the host’s heap after a garbage collection, and resident in all.',
  contenders: ['ours', 'piscina', ...OTHER_POOLS, 'comlink', 'raw'],
  metrics: {
    queued: { label: 'heap a queued task', unit: 'bytes', better: 'less' },
    resident: { label: 'resident a queued task', unit: 'bytes', better: 'less' },
    idle: { label: 'resident when idle', unit: 'MB', better: 'less' },
  },
  rounds: { full: 3, quick: 1 },
  size: (quick) => ({ own: quick ? 200_000 : 1_000_000, others: quick ? 20_000 : 200_000 }),

  async alone(id, { own, others }) {
    const count = id === 'ours' ? own : others;
    const pool = await startContender(id, { workers: WORKERS, warm: true });
    await many(pool, 'add', 2_000, (i) => [i, 1]);
    const idle = await measure();

    await closeGates(pool);
    const call = pool.caller('add');
    const results = new Array(count).fill(0);
    const before = await measure();
    for (let i = 0; i < count; i++) results[i] = call(i, 1);
    const after = await measure();
    return {
      idle: idle.rss / MB,
      queued: (after.heap - before.heap) / results.length,
      resident: (after.rss - before.rss) / results.length,
    };
  },

  bars: ({ row }) => [{ text: 'under 400 bytes a queued task', value: row('ours').queued.median, atMost: 400 }],
};
