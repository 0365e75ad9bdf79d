/** Where a failed task came from, for a report about it. */
export interface TaskDescription {
  name: string;
  /** Gives the stack lines of the place of submission, '' when unknown; asked only when they are shown. */
  site(): string;
}

interface Held {
  text: string;
  task: TaskDescription | undefined;
}

/** Watches failed futures that nobody has looked at, and reports each once when it is garbage-collected. */
export class LostFailures {
  readonly #registry: FinalizationRegistry<Held>;

  constructor(report: (message: string) => void) {
    this.#registry = new FinalizationRegistry(({ text, task }) => {
      const what = task === undefined ? 'A future' : `The task ${task.name}`;
      const site = task?.site() ?? '';
      report(
        `${what} failed and nobody looked at its future: ${text}${site === '' ? '' : `\nIt was submitted\n${site}`}`,
      );
    });
  }

  watch(future: object, error: unknown, task: TaskDescription | undefined): void {
    // The error's text and not the error: it may refer to the future, which would then never be collected.
    this.#registry.register(future, { text: describeError(error), task }, future);
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
