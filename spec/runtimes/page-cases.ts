/** Cases for pages. */
import { expect } from 'chai';
import type { Cases } from './cases.js';

export const pageCases: Cases = {
  'a worker whose file is not there fails its tasks, and the error names the file': async ({ pool }) => {
    const executor = pool({ maxWorkers: 1, worker: './no-such-worker.js', onWorkerError: () => undefined });
    const error = (await executor.submit(() => 1).exception()) as Error | undefined;
    expect(`${String(error)} ${String(error?.cause)}`).to.match(/no-such-worker\.js could not be loaded/);
  },
};
