import { fileURLToPath, URL } from 'node:url';
import { Tinypool } from 'tinypool';

const filename = fileURLToPath(new URL('../workers/tinypool.js', import.meta.url));
const moving = fileURLToPath(new URL('../workers/tinypool-moving.js', import.meta.url));

/** @returns {import('../contenders.js').Pool} */
export function start({ workers, warm }) {
  const pool = new Tinypool({ filename, maxThreads: workers, ...(warm ? { minThreads: workers } : {}) });
  return {
    caller:
      (name) =>
      (...args) =>
        pool.run(args, { name }),
    pass: (buffer) => pool.run([buffer], { filename: moving, name: 'pass', transferList: [buffer] }),
    stop: () => pool.destroy(),
  };
}
