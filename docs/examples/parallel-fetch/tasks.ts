/** What the pool's workers do. Each worker imports this module once; `task` lets the functions be sent by name. */
import { scryptSync } from 'node:crypto';
import { task } from 'concurrent-futures';
import { currentTask } from 'concurrent-futures/worker';

/** A page that is here. */
export interface Page {
  body: Uint8Array;
  /** How long it took to come. */
  ms: number;
}

/**
 * Fetches one page.
 *
 * @param deadline - ms until the whole page must be here
 * @returns the body, and how many ms it took to come
 * @throws an Error with a `status` for a page that answers with an error, a `TimeoutError` for one that doesn't answer
 */
export const fetchPage = task(import.meta.url, async function fetchPage(url: string, deadline: number): Promise<Page> {
  const start = performance.now();
  const response = await fetch(url, { signal: AbortSignal.timeout(deadline) });
  const body = new Uint8Array(await response.arrayBuffer());
  if (!response.ok) {
    throw Object.assign(new Error(`${response.status} ${response.statusText}`), { status: response.status });
  }
  return { body, ms: performance.now() - start };
});

/** Keeps one core busy for some 50 ms: scrypt is slow on purpose. */
export const digest = task(import.meta.url, function digest(body: Uint8Array) {
  const { worker } = currentTask();
  const key = scryptSync(body, 'parallel-fetch', 32, { cost: 2 ** 14, blockSize: 8, parallelization: 2 });
  return { worker, digest: key.toString('hex') };
});
