/**
 * Ten threads fetch sixty pages, then digest them. See README.md beside this file.
 */
import { asCompleted, type Future, ThreadPoolExecutor } from 'concurrent-futures';
import { coresUsed, heading, measure, Progress, speedUpTable, tally } from './report.js';
import { startSite } from './site.js';
import { digest, fetchPage, type Page } from './tasks.js';

/** ms until a page must be here. */
const DEADLINE = 1000;

await using site = await startSite();
await using executor = new ThreadPoolExecutor(10);

const bodies = await fetchAll(site.urls);
await digestAll(bodies);

/** First part: waiting. Ten threads wait for ten pages at a time. */
async function fetchAll(urls: string[]): Promise<Uint8Array[]> {
  heading(`Fetching ${urls.length} pages`);
  const bodies: Uint8Array[] = [];
  const failures: string[] = [];

  const inThePool = await measure(async () => {
    using progress = new Progress('in the pool', urls.length);
    const pages = new Map(urls.map((url) => [executor.submit(fetchPage, url, DEADLINE), new URL(url).pathname]));
    for await (const done of asCompleted(pages.keys())) {
      // TypeScript takes what `for await` gives for the future's value, because a future can be awaited.
      const future = done as unknown as Future<Page>;
      const page = String(pages.get(future));
      try {
        const { body, ms } = await future;
        bodies.push(body);
        progress.step(`${page}  ${(body.length / 1024).toFixed().padStart(3)} KiB in ${ms.toFixed()} ms`);
      } catch (error) {
        failures.push(`${page}: ${reason(error)}`);
        progress.step(`${page}  failed: ${reason(error)}`);
      }
    }
  });

  // The baseline: the same task in the same threads, each awaited before the next is submitted.
  const oneAfterAnother = await measure(async () => {
    using progress = new Progress('one after another', urls.length);
    for (const url of urls) {
      await executor.submit(fetchPage, url, DEADLINE).exception();
      progress.step();
    }
  });

  console.log(`\n${bodies.length} pages are here, ${failures.length} are not:`);
  for (const failure of failures) console.log(`  ${failure}`);
  console.log(speedUpTable(`fetch ${urls.length} pages`, oneAfterAnother, inThePool));
  return bodies;
}

/** Second part: computing. The same ten threads share the cores that there are. */
async function digestAll(bodies: Uint8Array[]): Promise<void> {
  heading(`Digesting ${bodies.length} pages with scrypt`);
  const workers: string[] = [];

  const inThePool = await measure(async () => {
    using progress = new Progress('in the pool', bodies.length);
    for await (const { worker } of executor.map(digest, bodies)) {
      workers.push(worker);
      progress.step();
    }
  });

  const oneAfterAnother = await measure(async () => {
    using progress = new Progress('one after another', bodies.length);
    for (const body of bodies) {
      await executor.submit(digest, body);
      progress.step();
    }
  });

  console.log(`\nDigests made by each worker in the pool:\n${tally(workers)}`);
  console.log(`One after another: ${coresUsed(oneAfterAnother)}`);
  console.log(`In the pool:       ${coresUsed(inThePool)}`);
  console.log(speedUpTable(`digest ${bodies.length} pages`, oneAfterAnother, inThePool));
}

/** What is wrong with a page; anything but the two expected kinds of failure ends the example. */
function reason(error: unknown): string {
  if (error instanceof Error && error.name === 'TimeoutError') return `no answer within ${DEADLINE} ms`;
  if (error instanceof Error && 'status' in error) return error.message;
  throw error;
}
