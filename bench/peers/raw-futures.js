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
      settle(pool.sendBatch(name, argsList), futures, from);
    }
    return Promise.all(futures);
  }

  return { ...pool, many };
}

/** More than are ever in flight. */
const WORDS = 1 << 17;

/**
 * The same with a word in shared memory for each task, which the worker takes before it begins it: with it, a task that was
 * sent can be cancelled for certain.
 * @returns {import('../contenders.js').Pool}
 */
export function startClaimed(options) {
  const claims = new Int32Array(new SharedArrayBuffer(WORDS * 4));
  const pool = startRaw({ ...options, claims });
  let next = 0;

  function many(name, count, argsOf) {
    const futures = new Array(count);
    for (let from = 0; from < count; from += BATCH) {
      const argsList = new Array(Math.min(BATCH, count - from));
      if (next + BATCH > WORDS) next = 0;
      const first = next;
      for (let i = 0; i < argsList.length; i++) {
        const word = next++;
        Atomics.store(claims, word, 0);
        argsList[i] = argsOf(from + i);
        futures[from + i] = new Cancellable(claims, word);
      }
      settle(pool.sendBatch(name, argsList, first), futures, from);
    }
    return Promise.all(futures);
  }

  return { ...pool, many };
}

class Cancellable extends Thenable {
  #claims;
  #word;

  constructor(claims, word) {
    super();
    this.#claims = claims;
    this.#word = word;
  }

  cancel() {
    return Atomics.compareExchange(this.#claims, this.#word, 0, 2) === 0;
  }
}

function settle(batch, futures, from) {
  batch.then((results) => {
    for (let i = 0; i < results.length; i++) futures[from + i].resolve(results[i]);
  });
}
