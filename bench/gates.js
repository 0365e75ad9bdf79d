import { setTimeout as delay } from 'node:timers/promises';
import { WORKERS } from './harness.js';

/** Blocks every worker, so that what is submitted after it stays queued. Resolves to the function that frees them. */
export async function closeGates(pool) {
  const cells = new Int32Array(new SharedArrayBuffer(8));
  const gate = pool.caller('gate');
  const passed = Promise.all(Array.from({ length: WORKERS }, () => gate(cells.buffer)));
  for (let waited = 0; Atomics.load(cells, 1) < WORKERS; waited += 5) {
    if (waited > 10_000) throw new Error('not every worker took a blocking task');
    await delay(5);
  }
  return function openGates() {
    Atomics.store(cells, 0, 1);
    Atomics.notify(cells, 0);
    return passed;
  };
}
