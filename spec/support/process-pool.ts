import { BrokenProcessPool } from 'concurrent-futures';
import { ProcessPoolExecutor } from 'concurrent-futures/process';
import type { Capabilities, MakeExecutor } from './pool-under-test.js';

export const makeExecutor: MakeExecutor = (options) => new ProcessPoolExecutor(options);

export const capabilities: Capabilities = {
  sharedMemory: false,
  ownProcess: true,
  BrokenPool: BrokenProcessPool,
  module: import.meta.url,
};
