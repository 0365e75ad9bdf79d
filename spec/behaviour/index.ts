import { describeCallables } from './callables.js';
import { describeCancellation } from './cancellation.js';
import { describeConditions } from './conditions.js';
import { describeContext } from './context.js';
import { describeCrashGrid } from './crash-grid.js';
import { describeCurrentTask } from './current-task.js';
import { describeDeadlock } from './deadlock.js';
import { describeErrors } from './errors.js';
import { describeInitializer } from './initializer.js';
import { describeKeptStreams } from './kept-streams.js';
import { describeMap } from './map.js';
import { describeRemoteObjects } from './remote-objects.js';
import { describeShutdown } from './shutdown.js';
import { describeStopping } from './stopping.js';
import { describeStreams } from './streams.js';
import { describeSubmit } from './submit.js';
import { describeValues } from './values.js';
import { describeWholeErrors } from './whole-errors.js';
import { describeWorkers } from './workers.js';
import type { Capabilities, MakeExecutor } from '../support/pool-under-test.js';

const SUITES = [
  describeSubmit,
  describeMap,
  describeCallables,
  describeErrors,
  describeWholeErrors,
  describeValues,
  describeStreams,
  describeKeptStreams,
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
];

/** All that every executor does. */
export function describeBehaviour(name: string, makeExecutor: MakeExecutor, capabilities: Capabilities): void {
  for (const describeSuite of SUITES) describeSuite(name, makeExecutor, capabilities);
}
