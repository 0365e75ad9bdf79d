import { URL } from 'node:url';
import { MessageChannel, Worker } from 'node:worker_threads';

const file = new URL('../workers/raw.js', import.meta.url);
const BATCH = 100;

/**
 * Bare postMessage without any protection: a message a task, everything in flight at once, resolvers in a Map. A task
 * goes to the worker with the fewest in flight.
 * @returns {import('../contenders.js').Pool}
 */
export function start({ workers, claims }) {
  const resolvers = new Map();
  const threads = Array.from({ length: workers }, () => {
    const thread = { worker: new Worker(file, { workerData: claims }), inFlight: 0 };
    thread.worker.on('message', ([id, result]) => {
      thread.inFlight--;
      const resolve = resolvers.get(id);
      resolvers.delete(id);
      resolve(result);
    });
    return thread;
  });
  let lastId = 0;

  function send(name, args, transferList, batched, first) {
    let target = threads[0];
    for (const thread of threads) if (thread.inFlight < target.inFlight) target = thread;
    target.inFlight++;
    const id = ++lastId;
    return new Promise((resolve) => {
      resolvers.set(id, resolve);
      target.worker.postMessage([id, name, args, batched, first], transferList);
    });
  }

  /** Adds up a stream that comes by a message an item, at most `ahead` of them unread; each that is read is acknowledged. */
  function sum(count, ahead) {
    const { port1, port2 } = new MessageChannel();
    return new Promise((resolve) => {
      let total = 0;
      port1.on('message', (item) => {
        total += item;
        if (ahead !== Infinity) port1.postMessage(1);
      });
      port1.on('close', () => resolve(total));
      threads[0].worker.postMessage([++lastId, 'numbers', [count, ahead, port2]], [port2]);
    });
  }

  return {
    caller:
      (name) =>
      (...args) =>
        send(name, args),
    sum,
    pass: (buffer) => send('pass', [buffer], [buffer]),
    sendBatch: (name, argsList, first) => send(name, argsList, undefined, true, first),
    stop: () => Promise.all(threads.map(({ worker }) => worker.terminate())),
  };
}

/**
 * The same in batches of 100: an array of arguments out, an array of results back, no promise a task.
 * @returns {import('../contenders.js').Pool}
 */
export function startBatched(options) {
  const { sendBatch, ...pool } = start(options);

  async function many(name, count, argsOf) {
    const batches = [];
    for (let from = 0; from < count; from += BATCH) {
      const argsList = new Array(Math.min(BATCH, count - from));
      for (let i = 0; i < argsList.length; i++) argsList[i] = argsOf(from + i);
      batches.push(sendBatch(name, argsList));
    }
    return (await Promise.all(batches)).flat();
  }

  return { ...pool, many, map: (name, items) => many(name, items.length, (i) => [items[i]]) };
}
