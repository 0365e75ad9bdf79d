import { fileURLToPath, URL } from 'node:url';
import workerpool from 'workerpool';

const script = fileURLToPath(new URL('../workers/workerpool.js', import.meta.url));

/** @returns {import('../contenders.js').Pool} */
export function start({ workers, warm }) {
  const pool = workerpool.pool(script, {
    workerType: 'thread',
    maxWorkers: workers,
    ...(warm ? { minWorkers: workers } : {}),
  });
  return {
    caller:
      (name) =>
      (...args) =>
        pool.exec(name, args),
    pass: (buffer) => pool.exec('pass', [buffer], { transfer: [buffer] }),
    stop: () => pool.terminate(true),
  };
}
