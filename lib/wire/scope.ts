/**
 * What has to be let go when the task ends whose arguments are being decoded: ports of callbacks and of signals. A
 * handler registers it here while it decodes.
 */
let disposers: (() => void)[] | undefined;

/** Has `dispose` called at the end of the task whose argument is being decoded; never for a result, which belongs to its receiver. */
export function atTaskEnd(dispose: () => void): void {
  disposers?.push(dispose);
}

/** Runs `decode`, and collects what it wants disposed of. */
export function collectDisposers<T>(into: (() => void)[] | undefined, decode: () => T): T {
  const outer = disposers;
  disposers = into;
  try {
    return decode();
  } finally {
    disposers = outer;
  }
}
