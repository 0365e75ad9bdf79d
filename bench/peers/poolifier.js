import { fileURLToPath, URL } from 'node:url';
import { FixedThreadPool } from 'poolifier';

const file = fileURLToPath(new URL('../workers/poolifier.js', import.meta.url));

/** @returns {import('../contenders.js').Pool} */
export function start({ workers, settings = {} }) {
  const pool = new FixedThreadPool(workers, file, settings);
  return {
    caller:
      (name) =>
      (...args) =>
        pool.execute(args, name),
    map: (name, items) =>
      pool.mapExecute(
        Array.from(items, (item) => [item]),
        name,
      ),
    // It has no way to transfer a result: the buffer comes back as a copy.
    pass: (buffer) => pool.execute([buffer], 'echo', undefined, [buffer]),
    stop: () => pool.destroy(),
  };
}
