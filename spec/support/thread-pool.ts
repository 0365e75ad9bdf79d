import { BrokenThreadPool, ThreadPoolExecutor } from 'concurrent-futures';
import type { Capabilities, MakeExecutor } from './pool-under-test.js';

export const makeExecutor: MakeExecutor = (options) => new ThreadPoolExecutor(options);

export const capabilities: Capabilities = {
  sharedMemory: true,
  ownProcess: false,
  BrokenPool: BrokenThreadPool,
  module: import.meta.url,
};
