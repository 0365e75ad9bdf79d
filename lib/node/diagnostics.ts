import { AsyncResource } from 'node:async_hooks';
import { channel } from 'node:diagnostics_channel';
import { LostFailures } from '../lost-failures.js';

/** Reports lost failures as process warnings, which `--trace-warnings` and `process.on('warning')` reach. */
export const reportLostFailure = new LostFailures((message) => {
  process.emitWarning(message, 'UnhandledFutureWarning');
});

/** Reports what a callback of the user's threw: a done callback, or the option of that name. */
export function reportCallbackError(error: unknown, option?: string): void {
  console.error(option === undefined ? 'A done callback of a future threw:' : `'${option}' threw:`, error);
}

/** Reports something that went wrong and belongs to nobody's future. */
export function warn(name: string, message: string): void {
  process.emitWarning(message, name);
}

/** Has a callback run in the async context (AsyncLocalStorage) of the code that attached it. */
export function bindContext<F extends (...args: never[]) => unknown>(callback: F): F {
  // Not AsyncResource.bind: it makes a deprecated property for each function, and that takes longer than all the rest.
  const resource = new AsyncResource('concurrent-futures:callback', { requireManualDestroy: true });
  return ((...args: never[]) => resource.runInAsyncScope(callback as never, undefined, ...args)) as F;
}

/** Channels of node:diagnostics_channel that tell what executors do; a look at `hasSubscribers` is all they cost unheard. */
export const channels = {
  taskSubmitted: channel('concurrent-futures:task:submitted'),
  taskStarted: channel('concurrent-futures:task:started'),
  taskEnded: channel('concurrent-futures:task:ended'),
  taskCancelled: channel('concurrent-futures:task:cancelled'),
  workerStarted: channel('concurrent-futures:worker:started'),
  workerEnded: channel('concurrent-futures:worker:ended'),
};
