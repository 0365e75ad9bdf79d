import { expect } from 'chai';
import { runScript } from './support/child.js';
import * as processes from './support/process-pool.js';
import * as threads from './support/thread-pool.js';

const SCRIPT = new URL('./fixtures/leaks.js', import.meta.url);

/** bytes that the heap may grow, whatever is done: statistics, the engine's own caches. Leaks have left many times as much. */
const SLACK = 800_000;

/** What is done, and how often. */
const SCENARIOS = [
  { executor: threads, name: 'ThreadPoolExecutor', scenario: 'tasks', times: 50_000 },
  { executor: threads, name: 'ThreadPoolExecutor', scenario: 'executors', times: 200 },
  { executor: threads, name: 'ThreadPoolExecutor', scenario: 'crashes', times: 100 },
  { executor: threads, name: 'ThreadPoolExecutor', scenario: 'callbacks and signals', times: 10_000 },
  { executor: threads, name: 'ThreadPoolExecutor', scenario: 'objects', times: 2000 },
  { executor: processes, name: 'ProcessPoolExecutor', scenario: 'objects', times: 2000 },
  { executor: processes, name: 'ProcessPoolExecutor', scenario: 'tasks', times: 10_000 },
  { executor: processes, name: 'ProcessPoolExecutor', scenario: 'executors', times: 30 },
  { executor: processes, name: 'ProcessPoolExecutor', scenario: 'crashes', times: 30 },
];

describe('leaks', function () {
  // The child is killed before mocha gives up on it.
  this.timeout(60_000);

  for (const { executor, name, scenario, times } of SCENARIOS) {
    it(`${name}: ${times.toLocaleString('en')} ${scenario} leave heap and handles where they were`, async () => {
      const { code, signal, stdout, stderr } = await runScript(
        SCRIPT,
        [executor.capabilities.module, scenario, String(times)],
        ['--expose-gc'],
        50_000,
      );
      expect({ code, signal, stderr }).to.deep.equal({ code: 0, signal: null, stderr: '' });
      const { heap, buffers, before, after } = JSON.parse(stdout) as Record<'before' | 'after', string[]> &
        Record<'heap' | 'buffers', number>;
      expect(after.sort()).to.deep.equal(before.sort());
      expect(heap).to.be.below(SLACK);
      // The shared memory of one worker is some 74,000 bytes.
      expect(buffers).to.be.below(150_000);
    });
  }
});
