/** The tasks submitted between two calls of `join`. */
export interface Epoch {
  pending: number;
  waiters: (() => void)[];
}

/**
 * Tells when everything submitted before a moment has ended, at the cost of a counter a task: `join` closes the current
 * epoch, and waits until it and all older ones have nothing pending.
 *
 * Invariant: `#open` is in order of age, the current epoch last.
 */
export class Epochs {
  readonly #open: Epoch[] = [{ pending: 0, waiters: [] }];

  /** A task enters. @returns the epoch to `leave` when it has ended */
  enter(): Epoch {
    const epoch = this.#open[this.#open.length - 1] as Epoch;
    epoch.pending++;
    return epoch;
  }

  leave(epoch: Epoch): void {
    epoch.pending--;
    if (epoch.pending === 0) this.#settle();
  }

  join(): Promise<void> {
    return new Promise((resolve) => {
      (this.#open[this.#open.length - 1] as Epoch).waiters.push(resolve);
      this.#open.push({ pending: 0, waiters: [] });
      this.#settle();
    });
  }

  #settle(): void {
    while (this.#open.length > 1 && this.#open[0]?.pending === 0) {
      for (const resolve of this.#open.shift()?.waiters ?? []) resolve();
    }
  }
}
