/** The longest delay that timers can hold, in ms; above it they fire at once. */
export const LONGEST_TIMER = 2 ** 31 - 1;

/**
 * Checks a waiting time given by a caller.
 *
 * @returns the ms to wait, or undefined when there is no limit: none was given, it is `Infinity`, or timers cannot hold it
 */
export function checkTimeout(timeout: unknown, name = 'timeout'): number | undefined {
  if (timeout === undefined) return undefined;
  if (typeof timeout !== 'number') {
    throw new TypeError(`'${name}' must be a number of ms: received ${timeout === null ? 'null' : typeof timeout}`);
  }
  if (Number.isNaN(timeout)) throw new RangeError(`'${name}' must be a number of ms: received NaN`);
  return timeout > LONGEST_TIMER ? undefined : Math.max(0, timeout);
}

/**
 * The timers as they were when the library was loaded, for what is not time to its users: turns of the event loop, and
 * looking after workers. It goes on in a test that fakes the clock.
 */
export const setOwnTimeout = setTimeout;
export const clearOwnTimeout = clearTimeout;
export const setOwnInterval = setInterval;
export const clearOwnInterval = clearInterval;

/** Ends a wait in three ways, and leaves neither a timer nor a listener behind, whichever comes first. */
export class Deadline {
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #signal: AbortSignal | undefined;
  readonly #onAbort: (() => void) | undefined;

  constructor(
    timeout: number | undefined,
    onTimeout: () => void,
    signal?: AbortSignal,
    onAbort?: (reason: unknown) => void,
  ) {
    if (timeout !== undefined) this.#timer = setTimeout(onTimeout, timeout);
    if (signal !== undefined && onAbort !== undefined) {
      this.#signal = signal;
      this.#onAbort = () => {
        onAbort(signal.reason);
      };
      signal.addEventListener('abort', this.#onAbort, { once: true });
    }
  }

  /** Lets the process end although the time has not come, where there is such a thing. */
  unref(): this {
    if (this.#timer !== undefined) unref(this.#timer);
    return this;
  }

  clear(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#onAbort !== undefined) this.#signal?.removeEventListener('abort', this.#onAbort);
  }
}

/** Lets the process end although a timer runs, where there is such a thing. */
export function unref(timer: unknown): void {
  (timer as { unref?: () => void }).unref?.();
}
