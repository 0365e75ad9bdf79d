import { URL } from 'node:url';
import { Worker } from 'node:worker_threads';
import * as Comlink from 'comlink';
import nodeEndpoint from 'comlink/dist/umd/node-adapter.js';

const file = new URL('../workers/comlink.js', import.meta.url);

/**
 * Bare Comlink, the workers taken in turn.
 * @returns {import('../contenders.js').Pool}
 */
export function start({ workers }) {
  const threads = Array.from({ length: workers }, () => new Worker(file));
  const remotes = threads.map((thread) => Comlink.wrap(nodeEndpoint(thread)));
  let turn = 0;
  return {
    caller(name) {
      const functions = remotes.map((remote) => remote[name]);
      return (...args) => functions[turn++ % workers](...args);
    },
    /** A call an item, each awaited before the next: what a loop over an iterator behind a proxy does. */
    async sum(count) {
      const items = await remotes[0].numbers(count);
      const next = items.next;
      let sum = 0;
      for (let step = await next(); !step.done; step = await next()) sum += step.value;
      items[Comlink.releaseProxy]();
      return sum;
    },
    pass: (buffer) => remotes[turn++ % workers].pass(Comlink.transfer(buffer, [buffer])),
    stop: () => Promise.all(threads.map((thread) => thread.terminate())),
  };
}
