type Listener = (...args: never[]) => void;

/** Of an emitter, what is needed here. */
interface Emitter {
  on(event: string, listener: () => void): unknown;
  listeners(event: string): unknown[];
}

/**
 * Listeners that a process cannot do without. A task may have `process` forget all who listen to it, as some libraries do
 * in good faith; these are there again when its turn ends.
 */
export class KeptListeners {
  readonly #emitter: Emitter;
  readonly #kept: { event: string; listener: Listener }[] = [];

  /** @param events - those whose listeners of now are kept, too */
  constructor(emitter: Emitter, events: readonly string[]) {
    this.#emitter = emitter;
    for (const event of events) {
      for (const listener of emitter.listeners(event) as Listener[]) this.#kept.push({ event, listener });
    }
    this.on('removeListener', (_event: never, removed: never) => {
      // Not at once: when all are removed, what is added meanwhile goes as well.
      if (this.#kept.some(({ listener }) => listener === removed)) void Promise.resolve().then(this.#putBack);
    });
  }

  /** Listens, for good. */
  on(event: string, listener: Listener): void {
    this.#kept.push({ event, listener });
    this.#emitter.on(event, listener);
  }

  readonly #putBack = () => {
    for (const { event, listener } of this.#kept) {
      if (!this.#emitter.listeners(event).includes(listener)) this.#emitter.on(event, listener);
    }
  };
}
