import { start as startRaw } from './raw.js';

const BATCH = 100;

/** The least that is like a promise and not one: `await` and `Promise.all` call its `then`. */
class Thenable {
  #done = false;
  #value;
  #resolvers;

  then(onfulfilled, onrejected) {
    if (this.#done) return Promise.resolve(this.#value).then(onfulfilled, onrejected);
    this.#resolvers ??= Promise.withResolvers?.() ?? withResolvers();
    return this.#resolvers.promise.then(onfulfilled, onrejected);
  }

  resolve(value) {
    this.#done = true;
    this.#value = value;
    this.#resolvers?.resolve(value);
  }
}

function withResolvers() {
  const made = {};
  made.promise = new Promise((resolve) => (made.resolve = resolve));
  return made;
}

/**
 * Raw batches, and something like a promise for each task: what is left of their speed when every task has a future of
 * its own, without a queue, cancelling or protection.
 * @returns {import('../contenders.js').Pool}
 */
export function start(options) {
  const pool = startRaw(options);

  function many(name, count, argsOf) {
    const futures = new Array(count);
    for (let from = 0; from < count; from += BATCH) {
      const argsList = new Array(Math.min(BATCH, count - from));
      for (let i = 0; i < argsList.length; i++) {
        argsList[i] = argsOf(from + i);
        futures[from + i] = new Thenable();
      }
      pool.sendBatch(name, argsList).then((results) => {
        for (let i = 0; i < results.length; i++) futures[from + i].resolve(results[i]);
      });
    }
    return Promise.all(futures);
  }

  return { ...pool, many };
}
