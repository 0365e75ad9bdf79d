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

type Kept = ReadableStream | WritableStream;

/** What is done to the streams of the result that is being decoded, whose worker has to stay for them. */
let keeper: (<S extends Kept>(stream: S) => S) | undefined;

/** A stream that was made on the other side, as it is used on this one. */
export function keptStream<S extends Kept>(stream: S): S {
  return keeper === undefined ? stream : keeper(stream);
}

/** Runs `decode`, and has `keep` give what is used instead of each stream that it comes upon. */
export function keepStreams<T>(keep: <S extends Kept>(stream: S) => S, decode: () => T): T {
  const outer = keeper;
  keeper = keep;
  try {
    return decode();
  } finally {
    keeper = outer;
  }
}
