import { expect } from 'chai';
import { soak } from './soak/soak.js';
import * as processes from './support/process-pool.js';
import * as threads from './support/thread-pool.js';

/**
 * Short runs of what `npm run soak` does for longer. Seeds that found something stay here:
 *
 * - 1, threads: a task whose time limit passed while its module was loading was called all the same, and blocked those
 *   beside it for ever; and each worker that had ended stayed in memory, held by Comlink's finalizers.
 */
const RUNS = [
  { kind: 'ThreadPoolExecutor', seed: 1, steps: 130, executor: threads },
  { kind: 'ThreadPoolExecutor', seed: 78, steps: 100, executor: threads },
  { kind: 'ProcessPoolExecutor', seed: 78, steps: 80, executor: processes },
];

describe('soak', function () {
  this.timeout(60_000);

  for (const { kind, seed, steps, executor } of RUNS) {
    it(`${kind}: ${String(steps)} random actions from seed ${String(seed)} lose nothing and leave nothing`, async () => {
      const { submitted, completed, failed, cancelled } = await soak({ seed, steps, ...executor });
      expect(submitted).to.be.above(100);
      expect(submitted).to.equal(completed + failed + cancelled);
    });
  }
});
