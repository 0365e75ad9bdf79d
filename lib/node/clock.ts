const { hrtime, versions } = process;

/**
 * ms on a clock that the host and its guests share. In Node that is the system's own: the zero of `performance.now()` may
 * differ between threads, and it takes less time to ask, and none to load. In Bun and Deno each thread has its own zero, but
 * knows when that was.
 */
export const now: () => number =
  'bun' in versions || 'deno' in versions
    ? () => performance.timeOrigin + performance.now()
    : () => {
        const [seconds, nanoseconds] = hrtime();
        return seconds * 1e3 + nanoseconds / 1e6;
      };
