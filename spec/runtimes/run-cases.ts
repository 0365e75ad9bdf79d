import { ThreadPoolExecutor, type ThreadPoolExecutorOptions } from 'concurrent-futures';
import type { Cases, Kit } from './cases.js';

/** What came of each case: null when it went well. */
export type Outcomes = Record<string, string | null>;

/** ms after which a case counts as hanging. */
const PATIENCE = 15_000;

/** Runs cases one after the other. */
export async function runCases(
  cases: Cases,
  worker: () => ThreadPoolExecutorOptions['worker'],
  sharesMemory: boolean,
): Promise<Outcomes> {
  const outcomes: Outcomes = {};
  for (const [name, run] of Object.entries(cases)) {
    const pools: ThreadPoolExecutor[] = [];
    const pool: Kit['pool'] = (options = {}) => {
      const made = new ThreadPoolExecutor(options);
      pools.push(made);
      return made;
    };
    const own: Kit['own'] = (options = {}) => pool({ worker: worker(), ...options });
    try {
      await intime(run({ pool, own, sharesMemory }));
      outcomes[name] = null;
    } catch (error) {
      outcomes[name] = `${String(error)}\n${String((error as Error | undefined)?.stack)}`;
    }
    try {
      await intime(Promise.all(pools.map((made) => made.terminateWorkers())));
    } catch (error) {
      outcomes[name] ??= `At the end: ${String(error)}`;
    }
  }
  return outcomes;
}

async function intime(promise: Promise<unknown>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const hang = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`it took more than ${String(PATIENCE)} ms`));
    }, PATIENCE);
  });
  try {
    await Promise.race([promise, hang]);
  } finally {
    clearTimeout(timer);
  }
}
