const { hrtime } = process;

/**
 * ms on a clock that the host and its guests share: the system's own, whereas the zero of `performance.now()` may differ
 * between threads. It also takes less time to ask, and none to load.
 */
export function now(): number {
  const [seconds, nanoseconds] = hrtime();
  return seconds * 1e3 + nanoseconds / 1e6;
}
