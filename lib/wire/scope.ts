/**
 * What has to be let go when the task ends whose arguments are being decoded: ports of callbacks and of signals. A
 * handler registers it here while it decodes.
 */
let disposers: Disposer[] | undefined;

/**
 * Lets go of something.
 *
 * @param stopped - whether the task was stopped, and did not end by itself
 * @returns what the end of the task waits for, if anything
 */
export type Disposer = (stopped: boolean) => Promise<void> | undefined;

/** Has `dispose` called at the end of the task whose argument is being decoded; never for a result, which belongs to its receiver. */
export function atTaskEnd(dispose: Disposer): void {
  disposers?.push(dispose);
}

/** Runs `decode`, and collects what it wants disposed of. */
export function collectDisposers<T>(into: Disposer[] | undefined, decode: () => T): T {
  const outer = disposers;
  disposers = into;
  try {
    return decode();
  } finally {
    disposers = outer;
  }
}
