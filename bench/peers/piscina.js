import { fileURLToPath, URL } from 'node:url';
import { Piscina } from 'piscina';

const filename = fileURLToPath(new URL('../workers/piscina.js', import.meta.url));
const moving = fileURLToPath(new URL('../workers/piscina-moving.js', import.meta.url));

/** @returns {import('../contenders.js').Pool} */
export function start({ workers, warm, settings = {} }) {
  const pool = new Piscina({ filename, maxThreads: workers, ...(warm ? { minThreads: workers } : {}), ...settings });
  return {
    caller:
      (name) =>
      (...args) =>
        pool.run(args, { name }),
    pass: (buffer) => pool.run([buffer], { filename: moving, name: 'pass', transferList: [buffer] }),
    stop: () => pool.destroy(),
  };
}
