/**
 * Streams that were made in a worker, as those who read or write them here have them: the worker stays until they have ended.
 * When it ends nevertheless they fail; some platforms leave the streams of a worker that has ended as they are.
 */

/** A stream that a worker stays for. */
export interface KeptStream {
  /** The worker has ended. */
  fail(error: Error): void;
}

/** Has a worker stay for streams. */
export interface StreamKeeper {
  keep(stream: KeptStream): void;
  /** Whether somebody waits for something of the stream, so that the process has to stay, too. */
  setAwaited(stream: KeptStream, awaited: boolean): void;
  /** The stream has ended. Twice is once. */
  letGo(stream: KeptStream): void;
}

type ReadController = ReadableStreamDefaultController<unknown>;

/** What is read here. It holds on to its stream only while somebody waits, so that one that was dropped is noticed. */
class KeptReadable implements KeptStream {
  readonly #reader: ReadableStreamDefaultReader<unknown>;
  readonly #keeper: StreamKeeper;
  #controller: WeakRef<ReadController> | undefined;
  #awaited: ReadController | undefined;
  /** Tells of the end, which has come. */
  #end: (() => void) | undefined;
  #over = false;

  constructor(stream: ReadableStream<unknown>, keeper: StreamKeeper) {
    this.#reader = stream.getReader();
    this.#keeper = keeper;
    keeper.keep(this);
  }

  start(controller: ReadController): void {
    this.#controller = new WeakRef(controller);
    // Not only by reading: whoever knows how much there is does not read on.
    this.#reader.closed.then(
      () => {
        this.#noteEnd(() => this.#controller?.deref()?.close());
      },
      (error: unknown) => {
        this.#noteEnd(() => this.#controller?.deref()?.error(error));
      },
    );
  }

  async pull(controller: ReadController): Promise<void> {
    this.#setAwaited(controller);
    try {
      const { done, value } = await this.#reader.read();
      if (!done && !this.#over) controller.enqueue(value);
    } finally {
      this.#setAwaited(undefined);
      this.#end?.();
    }
  }

  async cancel(reason?: unknown): Promise<void> {
    const cancelled = this.#reader.cancel(reason);
    this.#finish();
    await cancelled;
  }

  fail(error: unknown): void {
    if (this.#finish()) this.#controller?.deref()?.error(error);
  }

  /** The last item may be told of after the end. */
  #noteEnd(tell: () => void): void {
    this.#end = () => {
      if (this.#finish()) tell();
    };
    if (this.#awaited === undefined) this.#end();
  }

  #setAwaited(controller: ReadController | undefined): void {
    this.#awaited = controller;
    this.#keeper.setAwaited(this, this.#awaited !== undefined);
  }

  #finish(): boolean {
    if (this.#over) return false;
    this.#over = true;
    this.#keeper.letGo(this);
    return true;
  }
}

type WriteController = WritableStreamDefaultController;

/** The same for what is written here. */
class KeptWritable implements KeptStream {
  readonly #writer: WritableStreamDefaultWriter<unknown>;
  readonly #keeper: StreamKeeper;
  #controller: WeakRef<WriteController> | undefined;
  #awaited: WriteController | undefined;
  /** Rejects what is under way: until that has ended, a stream does not fail. */
  #reject: ((error: unknown) => void) | undefined;
  #over = false;

  constructor(stream: WritableStream<unknown>, keeper: StreamKeeper) {
    this.#writer = stream.getWriter();
    this.#keeper = keeper;
    keeper.keep(this);
  }

  start(controller: WriteController): void {
    this.#controller = new WeakRef(controller);
    this.#writer.closed.catch((error: unknown) => {
      this.fail(error);
    });
  }

  write(chunk: unknown): Promise<void> {
    return this.#await(this.#writer.write(chunk));
  }

  async close(): Promise<void> {
    await this.#await(this.#writer.close());
    this.letGo();
  }

  async abort(reason?: unknown): Promise<void> {
    const aborted = this.#writer.abort(reason);
    this.letGo();
    await aborted;
  }

  fail(error: unknown): void {
    if (this.#over) return;
    this.letGo();
    this.#reject?.(error);
    this.#controller?.deref()?.error(error);
  }

  /** Nobody writes any more. What was written stays written. */
  letGo(): void {
    this.#over = true;
    this.#keeper.letGo(this);
  }

  async #await(step: Promise<void>): Promise<void> {
    this.#awaited = this.#controller?.deref();
    this.#keeper.setAwaited(this, this.#awaited !== undefined);
    try {
      await new Promise<void>((resolve, reject) => {
        this.#reject = reject;
        step.then(resolve, reject);
      });
    } finally {
      this.#reject = undefined;
      this.#awaited = undefined;
      this.#keeper.setAwaited(this, false);
    }
  }
}

/** Lets go of the streams that were collected before they had ended. */
const dropped = new FinalizationRegistry<() => void>((drop) => {
  drop();
});

/** Has the worker of a stream stay until it has ended. @returns the stream to use instead */
export function keepStream<S extends ReadableStream<unknown> | WritableStream<unknown>>(
  stream: S,
  keeper: StreamKeeper,
): S {
  if ('getReader' in stream) {
    const kept = new KeptReadable(stream, keeper);
    // What nobody has asked for stays where it is.
    const readable = new ReadableStream(kept, { highWaterMark: 0 });
    dropped.register(readable, () => {
      kept.cancel().catch(() => {
        // Nobody is left to hear of it.
      });
    });
    return readable as S;
  }
  const kept = new KeptWritable(stream, keeper);
  const writable = new WritableStream(kept);
  dropped.register(writable, () => {
    kept.letGo();
  });
  return writable as S;
}
