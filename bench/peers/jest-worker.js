import { fileURLToPath, URL } from 'node:url';
import { PriorityQueue, Worker } from 'jest-worker';

const file = fileURLToPath(new URL('../workers/functions.js', import.meta.url));
const exposedMethods = ['add', 'increment', 'factorial', 'echo', 'spin', 'spinLong', 'gate'];

/** @returns {import('../contenders.js').Pool} */
export function start({ workers, priority = false }) {
  const pool = new Worker(file, {
    enableWorkerThreads: true,
    numWorkers: workers,
    exposedMethods,
    ...(priority ? { taskQueue: new PriorityQueue((name) => (name === 'spin' ? 0 : 1)) } : {}),
  });
  return {
    caller:
      (name) =>
      (...args) =>
        pool[name](...args),
    // It transfers nothing: the buffer is copied both ways.
    pass: (buffer) => pool.echo(buffer),
    stop: () => pool.end(),
  };
}
