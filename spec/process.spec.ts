import { expect } from 'chai';
import { ProcessPoolExecutor } from 'concurrent-futures/process';
import { describeCallables } from './behaviour/callables.js';
import { describeCancellation } from './behaviour/cancellation.js';
import { describeConditions } from './behaviour/conditions.js';
import { describeCrashGrid } from './behaviour/crash-grid.js';
import { describeDeadlock } from './behaviour/deadlock.js';
import { describeErrors } from './behaviour/errors.js';
import { describeInitializer } from './behaviour/initializer.js';
import { describeMap } from './behaviour/map.js';
import { describeShutdown } from './behaviour/shutdown.js';
import { describeStopping } from './behaviour/stopping.js';
import { describeSubmit } from './behaviour/submit.js';
import { describeWorkers } from './behaviour/workers.js';
import { capabilities, makeExecutor } from './support/process-pool.js';
import { settled } from './support/watchdog.js';

for (const describeBehaviour of [
  describeSubmit,
  describeMap,
  describeCallables,
  describeErrors,
  describeCancellation,
  describeConditions,
  describeInitializer,
  describeWorkers,
  describeShutdown,
  describeDeadlock,
  describeCrashGrid,
  describeStopping,
]) {
  describeBehaviour('ProcessPoolExecutor', makeExecutor, capabilities);
}

describe('ProcessPoolExecutor: processes', () => {
  it('tasks run in another process', async () => {
    await using pool = new ProcessPoolExecutor(1);
    expect(await settled(pool.submit(() => process.pid))).to.not.equal(process.pid);
  });
});
