/**
 * An echo server on threads, the same on processes; then five thousand clients at once, and two threads. See README.md
 * beside this file.
 */
import Table from 'cli-table3';
import { type Executor, tasksFrom, ThreadPoolExecutor } from 'concurrent-futures';
import { ProcessPoolExecutor } from 'concurrent-futures/process';
import { type PooledServer, serveSockets } from 'concurrent-futures/server';
import type * as Clients from './clients.js';
import { echo, echoClient } from './echo.js';

const CROWD = 5000;
/** Clients of the server that has a thread for each: enough to see what one costs. */
const FEW = 25;
const LOOPBACK = { host: '127.0.0.1', port: 0 };

const { converse, Crowd } = tasksFrom<typeof Clients>(new URL('./clients.js', import.meta.url));
await using clients = new ProcessPoolExecutor(1, { concurrentTasksPerWorker: 8 });

console.log('Echo from threads:');
await converseWith(new ThreadPoolExecutor(2, { concurrentTasksPerWorker: 64, threadNamePrefix: 'thread' }));
console.log('\nEcho from processes:');
await converseWith(new ProcessPoolExecutor(2, { concurrentTasksPerWorker: 64, threadNamePrefix: 'process' }));

const table = new Table({
  head: ['', 'clients', 'served', 'waiting', 'threads', 'memory added'],
  colAligns: ['left', 'right', 'right', 'right', 'right', 'right'],
  style: { head: [], border: [] },
});
console.log();
await boundedThreads();
const perThread = await threadEach();
console.log(`\n${table.toString()}`);
console.log(`A thread for each of ${CROWD} clients would take ${((CROWD * perThread) / 1024).toFixed()} GB.`);

/** The server of the recipe and three of its clients. Only the executor tells threads from processes. */
async function converseWith(pool: Executor): Promise<void> {
  await using executor = pool;
  await using server = await serveSockets(executor, echoClient, LOOPBACK);
  const { port } = server.address();
  const names = ['Guido', 'Alice', 'Bob'];
  const echoes = await clients.map(
    converse,
    Array<number>(3).fill(port),
    names.map((name) => ['Hello', name]),
  );
  for (const [client, words] of echoes.entries()) console.log(`  client ${client + 1} heard: ${words.join(', ')}`);
}

/** With a bound, two threads serve 128 clients at a time. The others wait, unread, and cost a socket each. */
async function boundedThreads(): Promise<void> {
  await using executor = new ThreadPoolExecutor(2, {
    concurrentTasksPerWorker: 64,
    minWorkers: 2,
    // V8 lets garbage gather in each thread before it collects it; 4 MB are plenty for what is short-lived here.
    workerOptions: { resourceLimits: { maxYoungGenerationSizeMb: 4 } },
  });
  await using server = await serveSockets(executor, echo, { ...LOOPBACK, maxPending: CROWD });
  using crowd = await clients.create(Crowd, server.address().port);
  await executor.submit(() => undefined);

  const before = memory();
  for (const name of ['two threads', 'the next 5000', 'and the next']) {
    await crowd.connect(CROWD);
    await reached(server, CROWD);
    report(name, executor, server, memory() - before);
    console.log(`${name}: ${await crowd.speak()} of ${CROWD} clients heard their echo`);
    await reached(server, 0);
  }
}

/** Without a bound, each client has a thread, and whoever connects often enough has them all. Returns MB for each. */
async function threadEach(): Promise<number> {
  await using executor = new ThreadPoolExecutor(CROWD);
  await using server = await serveSockets(executor, echo, LOOPBACK);
  using crowd = await clients.create(Crowd, server.address().port);

  const before = memory();
  await crowd.connect(FEW);
  await reached(server, FEW);
  await executor.submit(() => undefined); // the last of the threads runs too
  const added = memory() - before;
  report('a thread each', executor, server, added);
  console.log(`a thread each: ${await crowd.speak()} of ${FEW} clients heard their echo`);
  return added / FEW;
}

/** Waits until so many clients are connected. */
async function reached(server: PooledServer, clients: number): Promise<void> {
  const connected = () => server.stats().active + server.stats().waiting;
  while (connected() !== clients) await new Promise((resolve) => setTimeout(resolve, 10));
}

function report(name: string, executor: Executor, server: PooledServer, added: number): void {
  const { active, waiting } = server.stats();
  table.push([name, active + waiting, active, waiting, executor.stats().workers, `${added.toFixed()} MB`]);
}

/** What this process, its threads included, has in memory: MB. */
function memory(): number {
  return process.memoryUsage.rss() / 2 ** 20;
}
