import { setTimeout as delay } from 'node:timers/promises';
import { Bench } from 'tinybench';
import { contender, startContender } from './contenders.js';
import { formatNumber, summary } from './statistics.js';

export const WORKERS = 2;

/** A contender that takes longer than this for one sample is dropped, with a note. */
const PATIENCE = 20_000;

const WARM_UP_ROUNDS = 2;

/**
 * @typedef {object} Metric
 * @property {string} label
 * @property {string} unit
 * @property {'more' | 'less'} better
 */

/**
 * @typedef {object} Workload
 * @property {string} title
 * @property {string} what one sentence: what is done and what is measured
 * @property {string[]} contenders
 * @property {Record<string, Metric>} metrics the first is the one for the chart and for choosing the best
 *   setting of a library
 * @property {{ full: number, quick: number }} rounds
 * @property {(quick: boolean) => object} size how much work, handed to `sample`
 * @property {(pool: import('./contenders.js').Pool, size: object, id: string) => Promise<unknown>} [sample] the timed
 *   part of one round
 * @property {(milliseconds: number, result: unknown, size: object, id: string) => Record<string, number>} [measure]
 *   checks what `sample` gave and turns the time into metrics
 * @property {(id: string, size: object) => Promise<Record<string, number>>} [alone] instead of the two: runs once in a
 *   fresh process for every sample
 * @property {string[]} [under] the command that its process is run by
 * @property {boolean} [endsByItself] `alone` stops its contender, and the process is left to end without being told
 * @property {(figures: { row: Function, times: Function, bestPool: Function, size: object }) => object[]} [bars] each with
 *   its `limit`, if there is one: what the same work reaches without a pool
 */

/** Runs `count` tasks, all submitted before the first result is waited for. */
export function many(pool, name, count, argsOf) {
  if (pool.many) return pool.many(name, count, argsOf);
  const call = pool.caller(name);
  const results = new Array(count);
  for (let i = 0; i < count; i++) results[i] = call(...argsOf(i));
  return Promise.all(results);
}

export function check(condition, message) {
  if (!condition) throw new Error(`wrong result: ${message}`);
}

/**
 * Every contender once, in order.
 * @returns {Promise<Map<object, Record<string, number>>>}
 */
async function runRound(workload, size, contenders) {
  const results = new Map();
  const failures = new Map();
  const bench = new Bench({ time: 0, iterations: 1, warmup: false, retainSamples: true });
  for (const each of contenders) {
    bench.add(
      each.id,
      async () => {
        const patience = new AbortController();
        const tooLong = delay(PATIENCE, undefined, { signal: patience.signal, ref: false }).then(() => {
          throw new Error(`no result in ${PATIENCE / 1000} s`);
        });
        tooLong.catch(() => {});
        try {
          results.set(each, await Promise.race([workload.sample(each.pool, size, each.id), tooLong]));
        } catch (error) {
          failures.set(each, error);
        } finally {
          patience.abort();
        }
      },
      {
        async: true,
        async beforeEach() {
          // Its threads and its memory are awake.
          await workload.sample(each.pool, workload.size(true), each.id);
          globalThis.gc?.(); // nobody pays for the garbage of the one before
          await delay(5);
        },
      },
    );
  }
  await bench.run();

  const metrics = new Map();
  for (const each of contenders) {
    const [milliseconds] = bench.getTask(each.id).result.latency.samples;
    try {
      if (failures.has(each)) throw failures.get(each);
      metrics.set(each, workload.measure(milliseconds, results.get(each), size, each.id));
    } catch (error) {
      each.failure = error.message;
    }
  }
  return metrics;
}

/** Of several settings of one library only the best stays, by the median of the first metric. */
function bestOfFamilies(workload, rows, notes) {
  const [metric, { better, unit }] = Object.entries(workload.metrics)[0];
  const sign = better === 'more' ? -1 : 1;
  const kept = new Set(rows);
  for (const family of new Set(rows.map((row) => row.family).filter(Boolean))) {
    const [best, ...others] = rows
      .filter((row) => row.family === family && row.metrics[metric])
      .sort((a, b) => sign * (a.metrics[metric].median - b.metrics[metric].median));
    if (others.length === 0) continue;
    for (const other of others) kept.delete(other);
    const beaten = others.map(({ label, metrics }) => `${label} (${formatNumber(metrics[metric].median)} ${unit})`);
    notes.push(`${best.label} is the best of ${beaten.length + 1} settings; the others: ${beaten.join(', ')}.`);
  }
  return rows.filter((row) => kept.has(row));
}

/**
 * Runs a workload in this process: every contender is started and warmed up, then they take turns, round by round.
 * @param {Workload} workload
 * @param {boolean} quick
 */
export async function runTogether(workload, quick) {
  const size = workload.size(quick);
  const rounds = quick ? workload.rounds.quick : workload.rounds.full;
  const all = workload.contenders.map(contender);
  const notes = [];

  const drop = (each) => {
    Promise.resolve(each.pool?.stop()).catch(() => {});
    if (each.failure) notes.push(`**${each.label} failed**: ${each.failure}`);
  };
  const alive = (contenders) => contenders.filter((each) => each.failure === undefined);

  for (const each of all) {
    try {
      each.pool = await startContender(each.id, { workers: WORKERS, warm: true });
    } catch (error) {
      each.failure = error.message;
    }
  }
  let running = alive(all);
  for (let i = 0; i < WARM_UP_ROUNDS; i++) {
    await runRound(workload, workload.size(true), running);
    running = alive(running);
  }
  for (const each of all) if (each.failure) drop(each);

  const samples = new Map(running.map((each) => [each, []]));
  for (let round = 0; round < rounds; round++) {
    for (const [each, values] of await runRound(workload, size, alive(running))) samples.get(each).push(values);
  }
  for (const each of running) drop(each);
  return { rows: bestOfFamilies(workload, toRows(workload, samples), notes), notes };
}

/**
 * Runs a workload whose samples want a fresh process each.
 * @param {Workload} workload
 * @param {boolean} quick
 * @param {(id: string) => Promise<Record<string, number>>} runChild
 */
export async function runApart(workload, quick, runChild) {
  const rounds = quick ? workload.rounds.quick : workload.rounds.full;
  const notes = [];
  const samples = new Map(workload.contenders.map((id) => [contender(id), []]));
  for (let round = 0; round < rounds; round++) {
    for (const [each, values] of samples) {
      if (each.failure) continue;
      try {
        values.push(await runChild(each.id));
      } catch (error) {
        each.failure = error.message;
        notes.push(`**${each.label} failed**: ${error.message}`);
      }
    }
  }
  return { rows: bestOfFamilies(workload, toRows(workload, samples), notes), notes };
}

function toRows(workload, samples) {
  const measured = [...samples].filter(([, values]) => values.length > 0);
  return measured.map(([{ id, label, role, group, family }, values]) => {
    const metrics = {};
    for (const metric of Object.keys(workload.metrics)) {
      const figures = values.map((each) => each[metric]).filter((value) => value !== undefined);
      if (figures.length > 0) metrics[metric] = summary(figures);
    }
    return { id, label, role, group, family, metrics };
  });
}
