/**
 * What a contender offers to the workloads.
 * @typedef {object} Pool
 * @property {(name: string) => (...args: unknown[]) => PromiseLike<unknown>} caller a function that runs the named one
 *   in the pool
 * @property {(buffer: ArrayBuffer) => PromiseLike<ArrayBuffer>} pass moves a buffer in and out, or copies it where the
 *   library can't move it
 * @property {(name: string, items: unknown[]) => PromiseLike<unknown[]>} [map] the library's own way to map; without
 *   one, a call an item and Promise.all
 * @property {(name: string, count: number, argsOf: (index: number) => unknown[]) => Promise<unknown[]>} [many] replaces
 *   a call a task
 * @property {(future: unknown) => boolean} [cancel]
 * @property {() => PromiseLike<unknown>} stop
 */

/**
 * @typedef {object} Contender
 * @property {string} label
 * @property {'ours' | 'pool' | 'raw' | 'reference'} role `raw` has no queue, no errors and no crash handling to pay for
 * @property {string} module
 * @property {string} [start] the export that starts it
 * @property {object} [options]
 * @property {string} [family] of several of one family, a workload shows only the best
 * @property {string} [group] ratios and bars stay within a group
 */

/** @type {Record<string, Contender>} */
const contenders = {
  ours: { label: 'concurrent-futures', role: 'ours', module: 'ours' },
  'ours-source': {
    label: 'concurrent-futures, by source',
    role: 'ours',
    module: 'ours',
    options: { source: true },
  },
  'ours-priority': {
    label: 'concurrent-futures, priorities',
    role: 'ours',
    module: 'ours',
    options: { priority: true },
    group: 'priorities',
  },
  piscina: { label: 'piscina', role: 'pool', module: 'piscina', family: 'piscina' },
  'piscina-64': {
    label: 'piscina, 64 in flight',
    role: 'pool',
    module: 'piscina',
    options: { settings: { concurrentTasksPerWorker: 64 } },
    family: 'piscina',
  },
  'piscina-64-events': {
    label: 'piscina, 64 in flight, no atomics',
    role: 'pool',
    module: 'piscina',
    options: { settings: { concurrentTasksPerWorker: 64, atomics: 'disabled' } },
    family: 'piscina',
  },
  tinypool: { label: 'tinypool', role: 'pool', module: 'tinypool' },
  workerpool: { label: 'workerpool', role: 'pool', module: 'workerpool' },
  poolifier: { label: 'poolifier', role: 'pool', module: 'poolifier' },
  'poolifier-priority': {
    label: 'poolifier, priorities',
    role: 'pool',
    module: 'poolifier',
    options: { settings: { enableTasksQueue: true } },
    group: 'priorities',
  },
  'jest-worker': { label: 'jest-worker', role: 'pool', module: 'jest-worker' },
  'jest-worker-priority': {
    label: 'jest-worker, priorities',
    role: 'pool',
    module: 'jest-worker',
    options: { priority: true },
    group: 'priorities',
  },
  comlink: { label: 'raw Comlink', role: 'raw', module: 'comlink' },
  raw: { label: 'raw postMessage', role: 'raw', module: 'raw' },
  'raw-batched': { label: 'raw postMessage, batches of 100', role: 'raw', module: 'raw', start: 'startBatched' },
  'raw-claimed': {
    label: 'raw batches, a thenable and a claim word each',
    role: 'raw',
    module: 'raw-futures',
    start: 'startClaimed',
  },
  'raw-futures': { label: 'raw batches, a thenable each', role: 'raw', module: 'raw-futures' },
  ideal: { label: 'ideal: one plain loop, halved', role: 'reference', module: 'raw' },
  'split-by-hand': { label: 'two plain loops', role: 'reference', module: 'raw' },
};

export const PISCINA = ['piscina', 'piscina-64', 'piscina-64-events'];
export const OTHER_POOLS = ['tinypool', 'workerpool', 'poolifier', 'jest-worker'];
export const POOLS = [...PISCINA, ...OTHER_POOLS];

/** The packages whose versions the report names. */
export const PACKAGES = ['piscina', 'tinypool', 'workerpool', 'poolifier', 'jest-worker', 'comlink', 'tinybench'];

/** @returns {Contender & { id: string }} */
export function contender(id) {
  return { id, group: 'default', ...contenders[id] };
}

/**
 * @param {string} id
 * @param {object} options
 * @param {number} options.workers
 * @param {boolean} options.warm asks for every worker at once
 * @param {() => void} [options.onLoaded] called between the loading of the library and the construction of its pool
 * @returns {Promise<Pool>}
 */
export async function startContender(id, { workers, warm, onLoaded }) {
  const { module, start = 'start', options } = contenders[id];
  const peer = await import(`./peers/${module}.js`);
  onLoaded?.();
  return peer[start]({ workers, warm, ...options });
}
