/**
 * Two thousand tasks wait on sockets at once, in two threads; then fifty wait in a thread each. See README.md beside this
 * file.
 */
import Table from 'cli-table3';
import { tasksFrom, ThreadPoolExecutor } from 'concurrent-futures';
import { ProcessPoolExecutor } from 'concurrent-futures/process';
import type * as Silent from './silent-server.js';
import { listenTo } from './tasks.js';

const TASKS = 2000;
const WORKERS = 2;
/** Threads with one task each: enough to see what one costs. */
const MEASURED = 50;

const { SilentServer } = tasksFrom<typeof Silent>(new URL('./silent-server.js', import.meta.url));
await using elsewhere = new ProcessPoolExecutor(1);
using server = await elsewhere.create(SilentServer);
const port = await server.listen();

const table = new Table({ colAligns: ['left', 'right', 'right', 'right'], style: { head: [], border: [] } });
table.push(['', 'before', 'all waiting', 'added']);

await inAFewWorkers();
const perWorker = await inAWorkerEach();
const projected = perWorker * TASKS;
table.push([`${TASKS} tasks in as many threads (projected)`, '', '', megabytes(projected)]);
console.log(`\n${table.toString()}`);

async function inAFewWorkers(): Promise<void> {
  const cold = memory();
  await using executor = new ThreadPoolExecutor(WORKERS, { concurrentTasksPerWorker: TASKS / WORKERS });
  await waitTogether(executor, WORKERS); // the threads are there, and have done this before
  await waitTogether(executor, TASKS, (before, waiting) => {
    table.push([`${WORKERS} threads`, megabytes(cold), megabytes(before), megabytes(before - cold)]);
    table.push([`${TASKS} tasks in these`, megabytes(before), megabytes(waiting), megabytes(waiting - before)]);
  });
}

/** Returns what a thread and its task took: bytes. */
async function inAWorkerEach(): Promise<number> {
  await using executor = new ThreadPoolExecutor(MEASURED);
  let added = 0;
  await waitTogether(executor, MEASURED, (before, waiting) => {
    added = waiting - before;
    table.push([`${MEASURED} tasks in as many threads`, megabytes(before), megabytes(waiting), megabytes(added)]);
  });
  return added / MEASURED;
}

/** Submits so many tasks, lets all of them wait, measures, and gives them the word that they wait for. */
async function waitTogether(
  executor: ThreadPoolExecutor,
  tasks: number,
  measured?: (before: number, waiting: number) => void,
): Promise<void> {
  const before = memory();
  const words = executor.map(listenTo, Array<number>(tasks).fill(port));
  while ((await server.waiting()) < tasks) await new Promise((resolve) => setTimeout(resolve, 10));
  measured?.(before, memory());

  const { workers, running } = executor.stats();
  await server.speak('go on');
  const heard = (await words).filter((word) => word === 'go on').length;
  if (measured) console.log(`${running} tasks waited in ${workers} threads, and ${heard} heard the word`);
}

/** What this process, its threads included, has in memory: bytes. */
function memory(): number {
  return process.memoryUsage.rss();
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20).toLocaleString('en')} MB`;
}
