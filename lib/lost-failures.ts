/** Where a failed task came from, for a report about it. */
export interface TaskDescription {
  name: string;
  /** Gives the stack lines of the place of submission, '' when unknown; asked only when they are shown. */
  site(): string;
}

interface Held {
  text: string;
  name: string | undefined;
  site: string;
}

/** Watches failed futures that nobody has looked at, and reports each once when it is garbage-collected. */
export class LostFailures {
  readonly #registry: FinalizationRegistry<Held>;

  constructor(report: (message: string) => void) {
    this.#registry = new FinalizationRegistry(({ text, name, site }) => {
      const what = name === undefined ? 'A future' : `The task ${name}`;
      report(
        `${what} failed and nobody looked at its future: ${text}${site === '' ? '' : `\nIt was submitted\n${site}`}`,
      );
    });
  }

  watch(future: object, error: unknown, task: TaskDescription | undefined): void {
    // Texts, and neither the error nor the captured frames: they may refer to the future, which would then never be collected.
    const held: Held = { text: describeError(error), name: task?.name, site: task?.site() ?? '' };
    this.#registry.register(future, held, future);
  }

  unwatch(future: object): void {
    this.#registry.unregister(future);
  }
}

function describeError(error: unknown): string {
  for (const describe of [String, (value: unknown) => Object.prototype.toString.call(value)]) {
    try {
      return describe(error);
    } catch {
      // A revoked proxy has not even a tag.
    }
  }
  return 'an object that cannot be described';
}
