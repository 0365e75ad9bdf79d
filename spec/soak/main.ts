/**
 * `npm run soak -- [--seed N] [--seconds S]`: soaks the executors for a while, from a seed that it prints. A seed that finds
 * something goes to `soak.spec.ts`.
 */
import { parseArgs } from 'node:util';
import * as processes from '../support/process-pool.js';
import * as threads from '../support/thread-pool.js';
import { soak } from './soak.js';

const { values } = parseArgs({ options: { seed: { type: 'string' }, seconds: { type: 'string', default: '60' } } });
const first = values.seed === undefined ? Math.floor(Math.random() * 2 ** 32) : Number(values.seed);
const seconds = Number(values.seconds);
if (!Number.isFinite(first) || !(seconds > 0)) throw new RangeError('--seed and --seconds want numbers');

/** Actions from one seed: a run that fails should not be long. */
const STEPS = 1000;

const end = performance.now() + seconds * 1000;
let seed = first >>> 0;
do {
  for (const [kind, executor] of Object.entries({ threads, processes })) {
    const ms = Math.max(1000, end - performance.now());
    console.log(`${kind}, --seed ${String(seed)}`);
    const { steps, executors, submitted, completed, failed, cancelled, deaths } = await soak({
      seed,
      steps: STEPS,
      ms,
      ...executor,
    });
    console.log(
      `  ${String(steps)} steps, ${String(executors)} executors, ${String(submitted)} tasks: ${String(completed)} ` +
        `completed, ${String(failed)} failed, ${String(cancelled)} cancelled; ${String(deaths)} deaths`,
    );
  }
  seed = (seed + 1) >>> 0;
} while (performance.now() < end);
