/**
 * A UDP server whose pool grows under a burst and shrinks after it. See README.md beside this file.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { ThreadPoolExecutor } from 'concurrent-futures';
import { serveDatagrams } from 'concurrent-futures/server';
import { answer } from './answer.js';
import { Client } from './client.js';

const MAX_WORKERS = 12;
const MIN_WORKERS = 2;

await using executor = new ThreadPoolExecutor(MAX_WORKERS, {
  minWorkers: MIN_WORKERS,
  minSpareWorkers: 2,
  idleTimeout: 400,
});
await using server = await serveDatagrams(executor, answer, { port: 0, address: '127.0.0.1' });
using client = new Client(server.address().port);

const start = performance.now();
/** The most workers that there were at a time. */
let most = 0;
const gauge = setInterval(() => {
  show();
}, 100);

console.log('A trickle: a question every 60 ms');
await client.ask(8, 60);

console.log('A burst: 240 questions, one every millisecond');
await client.ask(240, 1);

console.log('Quiet');
while (executor.stats().workers > MIN_WORKERS) await sleep(10);
show();
clearInterval(gauge);

const { accepted, completed, refused, failed } = server.stats();
console.log(`${client.answered} questions were answered.`);
console.log(`${accepted} datagrams came: ${completed} served, ${refused} dropped, ${failed} failed.`);
console.log(`The pool grew to ${most} workers and shrank to ${executor.stats().workers}.`);

/** The live numbers: ■ is a worker that is busy, □ an idle one. */
function show(): void {
  const { workers, busy, idle } = executor.stats();
  most = Math.max(most, workers);
  const bar = ('■'.repeat(busy) + '□'.repeat(idle)).padEnd(MAX_WORKERS);
  const time = ((performance.now() - start) / 1000).toFixed(1);
  const { waiting } = server.stats();
  console.log(
    `${time} s  ${bar}  ${String(busy).padStart(2)} of ${String(workers).padStart(2)} workers busy, ` +
      `${String(waiting).padStart(3)} questions wait, ${client.answered} are answered`,
  );
}
