/**
 * Work requests with callbacks: the usage that Python's `threadpool` package documents. See README.md beside this file.
 */
import { type Future, ThreadPoolExecutor, wait } from 'concurrent-futures';
import { StatusLine } from './status.js';
import { doSomething } from './tasks.js';

/** ms between two frames of the render loop. */
const FRAME = 100;

const pool = new ThreadPoolExecutor(3, { maxQueueSize: 8 });
const line = new StatusLine();

/** Requests whose callbacks have not been called; those that wait for room in the queue are `toCome`. */
const pending = new Set<Future<number>>();
let toCome = 0;
let requests = 0;
let results = 0;
let failures = 0;

/** Puts a request as soon as the queue has room for it. */
async function putRequest(load: number): Promise<void> {
  toCome++;
  await pool.ready();
  toCome--;
  const id = ++requests;
  const future = pool.submit(doSomething, load);
  pending.add(future);
  future.addDoneCallback(() => {
    pending.delete(future);
    const outcome = future.outcome();
    if (outcome?.status === 'fulfilled') handleResult(id, load, outcome.value);
    else handleFailure(id, load, outcome?.reason);
  });
}

function handleResult(id: number, load: number, result: number): void {
  results++;
  line.print(`Result of request #${id}: ${load} squared is ${result}`);
}

/** What was too much is asked for again in two parts: requests that are added from within a callback. */
function handleFailure(id: number, load: number, error: unknown): void {
  failures++;
  line.print(`Request #${id} failed: ${String(error)}`);
  void putRequest(Math.floor(load / 2));
  void putRequest(Math.ceil(load / 2));
}

/** Forty loads from 1 to 10. */
const loads = Array.from({ length: 40 }, (_, index) => 1 + ((index * 7) % 10));
for (const load of loads) void putRequest(load);

// The render loop: what the program does while the pool works. Callbacks have their turn while it waits for the frame.
for (let frame = 0; pending.size + toCome > 0 && frame < 15; frame++) {
  const { workers, busy, queued } = pool.stats();
  line.show(`${workers} workers, ${busy} busy; ${queued} requests in the queue, ${toCome} to come`);
  if (frame === 5) {
    line.print('More workers: up to 6');
    await pool.resize({ maxWorkers: 6 });
  }
  if (frame === 10) {
    line.print('Fewer workers: 2. Those dismissed end what they have begun');
    void pool.resize({ maxWorkers: 2 }).then(() => {
      line.print('The dismissed workers are gone');
    });
  }
  await wait(pending, { timeout: FRAME });
}

// Nothing more to render: wait for the rest. A callback that comes last may add a request, so look again.
line.print('Waiting for the rest');
while (pending.size + toCome > 0) await pool.join();
await pool.shutdown();
line[Symbol.dispose]();

console.log(`${requests} requests: ${results} results, ${failures} failures`);
