import { LostFailures } from '../lost-failures.js';

/** Reports lost failures on the console. */
export const reportLostFailure = new LostFailures((message) => {
  console.warn(message);
});

/** Reports what a done callback threw. */
export function reportCallbackError(error: unknown): void {
  console.error('A done callback of a future threw:', error);
}

/** Reports something that went wrong and belongs to nobody's future. */
export function warn(name: string, message: string): void {
  console.warn(`${name}: ${message}`);
}

/** Pages have no async context to carry over. */
export function bindContext<F extends (...args: never[]) => unknown>(callback: F): F {
  return callback;
}

const silent = { hasSubscribers: false, publish: (message: unknown): unknown => message };

/** Browsers have no diagnostics channels. */
export const channels = {
  taskSubmitted: silent,
  taskStarted: silent,
  taskEnded: silent,
  taskCancelled: silent,
  workerStarted: silent,
  workerEnded: silent,
};
