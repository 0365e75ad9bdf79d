import { createHistogram } from '#host';
import type { Histogram } from '../executor.js';

/** What a platform's histogram of whole numbers offers. */
export interface RecordableHistogram {
  readonly count: number;
  readonly mean: number;
  readonly min: number;
  readonly max: number;
  record(value: number): void;
  percentile(percentile: number): number;
}

/** Units a ms: histograms hold whole numbers from 1 on, and durations of less than a microsecond occur. */
const UNITS = 10_000;

/** Durations that are kept before they are recorded together. */
const KEPT = 512;

/**
 * A distribution of durations in bounded memory. They are recorded some hundreds at a time, so that no task waits for
 * that: the first one would wait until the platform has loaded its histograms, which takes longer than most tasks.
 */
export class Durations {
  #histogram: RecordableHistogram | undefined;
  readonly #recent: number[] = [];

  record(ms: number): void {
    if (this.#recent.push(Math.max(1, Math.round(ms * UNITS))) === KEPT) this.#flush();
  }

  #flush(): void {
    if (this.#recent.length === 0) return;
    const histogram = (this.#histogram ??= createHistogram());
    for (const duration of this.#recent) histogram.record(duration);
    this.#recent.length = 0;
  }

  snapshot(): Histogram {
    this.#flush();
    const histogram = this.#histogram;
    if (histogram === undefined) return { count: 0, mean: 0, min: 0, max: 0, p50: 0, p90: 0, p99: 0 };
    return {
      count: histogram.count,
      mean: histogram.mean / UNITS,
      min: histogram.min / UNITS,
      max: histogram.max / UNITS,
      p50: histogram.percentile(50) / UNITS,
      p90: histogram.percentile(90) / UNITS,
      p99: histogram.percentile(99) / UNITS,
    };
  }
}
