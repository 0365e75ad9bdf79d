import { performance } from 'node:perf_hooks';
import { check } from '../harness.js';

/** How far the worker may be ahead of its reader: ours without the option, and then all of them alike. */
const AHEAD = {
  standard: { ours: undefined, others: 16 },
  narrow: { ours: 16, others: 16 },
  wide: { ours: 1024, others: 1024 },
  unbounded: { ours: Number.MAX_SAFE_INTEGER, others: Infinity },
};

/** @type {import('../harness.js').Workload} */
export const workload = {
  title: 'Stream of small items',
  what: 'A generator in a worker yields numbers, and a loop here adds them up: items a second. Ours is `for await` over `executor.stream`. Raw postMessage is one message an item, read by a callback, and one back for each that was read, so that the worker is at most so many items ahead of its reader; “without a bound” it posts all at once and hears nothing. Raw Comlink is one call an item. “By default” is ours without `highWaterMark`, which begins with 16 and goes up to 4,096 while items pass fast, against raw messages with 16. “Ten times one message each” means those messages and those calls. Held to 16 by its option, ours waits for the way there and back as raw messages do, and is no faster.',
  contenders: ['ours', 'comlink', 'raw'],
  metrics: {
    standard: { label: 'by default', unit: '/s', better: 'more' },
    narrow: { label: '16 ahead', unit: '/s', better: 'more' },
    wide: { label: '1,024 ahead', unit: '/s', better: 'more' },
    unbounded: { label: 'without a bound', unit: '/s', better: 'more' },
  },
  rounds: { full: 9, quick: 3 },
  // Fewer where they are slow, for the sake of time.
  size: (quick) => ({
    ours: quick ? 200_000 : 1_000_000,
    raw: quick ? 50_000 : 250_000,
    comlink: quick ? 1_000 : 10_000,
  }),

  async sample(pool, size, id) {
    const rates = {};
    for (const [metric, { ours, others }] of Object.entries(AHEAD)) {
      if (id === 'comlink' && metric !== 'standard') continue;
      const count = id === 'ours' && metric === 'narrow' ? size.raw : size[id];
      globalThis.gc?.();
      const start = performance.now();
      const sum = await pool.sum(count, id === 'ours' ? ours : others);
      rates[metric] = (count / (performance.now() - start)) * 1000;
      check(sum === (count * (count - 1)) / 2, 'the sum');
    }
    return rates;
  },

  measure: (_, rates) => rates,

  bars({ times }) {
    return [
      { text: 'at least 10 times one message each, by default', value: times('ours', 'raw', 'standard'), atLeast: 10 },
      { text: 'at least 10 times one Comlink call each', value: times('ours', 'comlink', 'standard'), atLeast: 10 },
    ];
  },
};
