import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { POOLS } from '../contenders.js';
import { WORKERS } from '../harness.js';
import { quantile } from '../statistics.js';

const SHORT = 0.02; // ms
const LONG = 20; // ms

const isLong = (i) => i % 20 === 10;

/** Notes how long a short task took from its submission to its result. */
function submit(pool, i, latencies) {
  const submitted = performance.now();
  if (isLong(i)) return pool.long(LONG);
  return pool.short(SHORT).then(() => latencies.push(performance.now() - submitted));
}

/** The p99 of the short tasks of a backlog, first come, first served, if nothing took any time but the tasks. */
function idealBacklog({ backlog }) {
  const free = Array.from({ length: WORKERS }, () => 0);
  const latencies = [];
  for (let i = 0; i < backlog; i++) {
    const worker = free.indexOf(Math.min(...free));
    free[worker] += isLong(i) ? LONG : SHORT;
    if (!isLong(i)) latencies.push(free[worker]);
  }
  return quantile(latencies, 0.99);
}

/** @type {import('../harness.js').Workload} */
export const workload = {
  title: 'Mixed: 95 % of 20 µs, 5 % of 20 ms',
  what: 'How long the short tasks take from submission to result, when all are submitted at once (backlog), and when they come evenly at 60 % of what two workers can do (steady). The last column is the p99 that two workers would have under the same arrivals, first come, first served, if nothing took any time but the tasks, divided by the p99 measured: no pool that interrupts no task can be above 1. Where a library has priorities, a second row gives the short tasks the higher one.',
  contenders: ['ours', ...POOLS, 'comlink', 'raw', 'ours-priority', 'poolifier-priority', 'jest-worker-priority'],
  metrics: {
    backlog99: { label: 'backlog p99', unit: 'ms', better: 'less' },
    backlog50: { label: 'backlog p50', unit: 'ms', better: 'less' },
    steady99: { label: 'steady p99', unit: 'ms', better: 'less' },
    steady50: { label: 'steady p50', unit: 'ms', better: 'less' },
    ideal99: { label: 'of the steady p99, an ideal queue’s', unit: '', better: 'more' },
  },
  rounds: { full: 4, quick: 1 },
  size: (quick) => ({ backlog: quick ? 100 : 500, steady: quick ? 100 : 500 }),

  async sample(pool, { backlog, steady }) {
    const calls = { short: pool.caller('spin'), long: pool.caller('spinLong') };
    const latencies = { backlog: [], steady: [], ideal: [] };
    const free = Array.from({ length: WORKERS }, () => 0);
    await Promise.all(Array.from({ length: backlog }, (_, i) => submit(calls, i, latencies.backlog)));

    const gap = (0.95 * SHORT + 0.05 * LONG) / 2 / 0.6;
    const start = performance.now();
    const running = [];
    while (running.length < steady) {
      while (running.length < steady && start + running.length * gap <= performance.now()) {
        const long = isLong(running.length);
        const now = performance.now();
        const worker = free.indexOf(Math.min(...free));
        free[worker] = Math.max(now, free[worker]) + (long ? LONG : SHORT);
        if (!long) latencies.ideal.push(free[worker] - now);
        running.push(submit(calls, running.length, latencies.steady));
      }
      await delay(1);
    }
    await Promise.all(running);
    return latencies;
  },

  measure: (_, { backlog, steady, ideal }) => ({
    backlog99: quantile(backlog, 0.99),
    backlog50: quantile(backlog, 0.5),
    steady99: quantile(steady, 0.99),
    steady50: quantile(steady, 0.5),
    ideal99: quantile(ideal, 0.99) / quantile(steady, 0.99),
  }),

  bars({ times, bestPool, row, size }) {
    const best = { backlog99: row(bestPool('backlog99')), steady99: row(bestPool('steady99')) };
    const ideal = {
      backlog99: idealBacklog(size) / best.backlog99.backlog99.median,
      steady99: best.steady99.ideal99.median,
    };
    return ['backlog99', 'steady99'].flatMap((metric) =>
      ['ours', 'ours-priority'].map((id) => ({
        text: `p99 of the short tasks at most half of the best pool’s (${metric.slice(0, -2)}${id === 'ours' ? '' : ', with priorities on our side'})`,
        value: 1 / times(id, bestPool(metric), metric),
        atMost: 0.5,
        ...(id === 'ours' && { limit: { text: 'a first-come queue that costs nothing', value: ideal[metric] } }),
      })),
    );
  },
};
