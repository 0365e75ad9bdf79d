import { expect } from 'chai';
import { ProcessPoolExecutor } from 'concurrent-futures/process';
import { describeCallables } from './behaviour/callables.js';
import { describeCancellation } from './behaviour/cancellation.js';
import { describeConditions } from './behaviour/conditions.js';
import { describeContext } from './behaviour/context.js';
import { describeCrashGrid } from './behaviour/crash-grid.js';
import { describeCurrentTask } from './behaviour/current-task.js';
import { describeDeadlock } from './behaviour/deadlock.js';
import { describeErrors } from './behaviour/errors.js';
import { describeInitializer } from './behaviour/initializer.js';
import { describeMap } from './behaviour/map.js';
import { describeRemoteObjects } from './behaviour/remote-objects.js';
import { describeShutdown } from './behaviour/shutdown.js';
import { describeStopping } from './behaviour/stopping.js';
import { describeStreams } from './behaviour/streams.js';
import { describeSubmit } from './behaviour/submit.js';
import { describeValues } from './behaviour/values.js';
import { describeWholeErrors } from './behaviour/whole-errors.js';
import { describeWorkers } from './behaviour/workers.js';
import { capabilities, makeExecutor } from './support/process-pool.js';
import { settled } from './support/watchdog.js';

for (const describeBehaviour of [
  describeSubmit,
  describeMap,
  describeCallables,
  describeErrors,
  describeWholeErrors,
  describeValues,
  describeStreams,
  describeRemoteObjects,
  describeCurrentTask,
  describeContext,
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
