// The zero of performance.now() may differ between threads; that of hrtime is the system's, for all threads and processes.
const [seconds, nanoseconds] = process.hrtime();
const OFFSET = seconds * 1e3 + nanoseconds / 1e6 - performance.now();

/** ms on a clock that the host and its guests share. */
export function now(): number {
  return performance.now() + OFFSET;
}
