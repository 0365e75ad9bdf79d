import { BrokenProcessPool } from 'concurrent-futures';
import { ProcessPoolExecutor, type ProcessPoolExecutorOptions } from 'concurrent-futures/process';
import type { Capabilities, MakeExecutor } from './pool-under-test.js';

export const makeExecutor: MakeExecutor = (options) => new ProcessPoolExecutor(options as ProcessPoolExecutorOptions);

export const capabilities: Capabilities = {
  sharedMemory: false,
  ownProcess: true,
  BrokenPool: BrokenProcessPool,
  module: import.meta.url,
};
