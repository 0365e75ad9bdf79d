/** What the workers do. */
import { setTimeout as sleep } from 'node:timers/promises';
import { task } from 'concurrent-futures';

/**
 * Takes its time, as a request to some other machine would.
 *
 * @param load - from 1; more takes longer, and 10 is too much
 * @returns the square of the load
 * @throws RangeError when the load is too much
 */
export const doSomething = task(import.meta.url, async function doSomething(load: number): Promise<number> {
  await sleep(40 + 25 * load);
  if (load >= 10) throw new RangeError(`a load of ${load} is too much`);
  return load * load;
});
