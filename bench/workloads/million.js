import { performance } from 'node:perf_hooks';
import { OTHER_POOLS, startContender } from '../contenders.js';
import { closeGates } from '../gates.js';
import { check, many, WORKERS } from '../harness.js';
import { median } from '../statistics.js';

const FEW = 1_000;

async function timeOfOne(pool, count) {
  const start = performance.now();
  const sums = await many(pool, 'add', count, (i) => [i, 1]);
  const end = performance.now();
  check(sums[0] === 1 && sums[count - 1] === count, 'a sum');
  return ((end - start) / count) * 1000;
}

/** @type {import('../harness.js').Workload} */
export const workload = {
  title: 'A million queued',
  what: 'Whether a long queue costs: the time of one task when 1,000 are submitted at once, and when 1,000,000 are (raw batches too; the others: 50,000, for the sake of time); then, behind two tasks that block the workers, the time to submit as many and to cancel each.',
  contenders: ['ours', 'piscina', 'piscina-64', ...OTHER_POOLS, 'comlink', 'raw', 'raw-futures'],
  metrics: {
    lots: { label: 'a task of a million', unit: 'µs', better: 'less' },
    few: { label: 'a task of 1,000', unit: 'µs', better: 'less' },
    growth: { label: 'growth', unit: '×', better: 'less' },
    submit: { label: 'submit all', unit: 'ms', better: 'less' },
    cancel: { label: 'cancel all', unit: 'ms', better: 'less' },
  },
  rounds: { full: 3, quick: 1 },
  size: (quick) => ({
    own: { count: quick ? 200_000 : 1_000_000, bursts: quick ? 30 : 100 },
    others: { count: quick ? 5_000 : 50_000, bursts: quick ? 16 : 40 },
  }),

  async alone(id, { own, others }) {
    const { count, bursts } = id === 'ours' || id === 'raw-futures' ? own : others;
    const pool = await startContender(id, { workers: WORKERS, warm: true });
    globalThis.gc();
    const times = [];
    for (let i = 0; i < bursts; i++) times.push(await timeOfOne(pool, FEW));
    const few = median(times.slice(bursts / 2));
    globalThis.gc();
    const lots = await timeOfOne(pool, count);
    const metrics = { few, lots, growth: lots / few };
    if (!pool.cancel) return metrics;

    const openGates = await closeGates(pool);
    const call = pool.caller('add');
    const futures = new Array(count);
    globalThis.gc();
    const start = performance.now();
    for (let i = 0; i < count; i++) futures[i] = call(i, 1);
    const submitted = performance.now();
    let cancelled = 0;
    for (const future of futures) if (pool.cancel(future)) cancelled++;
    const end = performance.now();
    check(cancelled === count, `${cancelled} of ${count} were cancelled`);
    await openGates();
    return { ...metrics, submit: submitted - start, cancel: end - submitted };
  },

  bars({ row }) {
    const { growth, submit, cancel } = row('ours');
    return [
      {
        text: 'time a task at most 1.3 times that at 1,000',
        value: growth.median,
        atMost: 1.3,
        limit: { text: 'raw batches, a thenable each', value: row('raw-futures').growth.median },
      },
      { text: 'cancelling takes less time than submitting', value: cancel.median / submit.median, atMost: 1 },
    ];
  },
};
