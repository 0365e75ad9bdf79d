import { LostFailures } from '../lost-failures.js';

/** Reports lost failures on the console. */
export const reportLostFailure = new LostFailures((message) => {
  console.warn(message);
});

/** Reports what a callback of the user's threw: a done callback, or the option of that name. */
export function reportCallbackError(error: unknown, option?: string): void {
  console.error(option === undefined ? 'A done callback of a future threw:' : `'${option}' threw:`, error);
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
