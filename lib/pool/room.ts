/**
 * Those who wait for room in a full queue, served in the order of their calls.
 *
 * Each place is granted to one waiter, and is kept for it until it has had its turn to submit: a macrotask, in which its
 * `await` goes on.
 */
export class RoomWaiters {
  readonly #waiters: (() => void)[] = [];
  readonly #room: () => number;
  #granted = 0;

  /** @param room - tells how many tasks the queue would take now */
  constructor(room: () => number) {
    this.#room = room;
  }

  get empty(): boolean {
    return this.#waiters.length === 0;
  }

  wait(): Promise<void> {
    if (this.empty && this.#room() > this.#granted) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiters.push(resolve);
    });
  }

  /** To be called when there may be room. */
  admit(): void {
    while (this.#waiters.length > 0 && this.#room() > this.#granted) {
      this.#granted++;
      this.#waiters.shift()?.();
      setTimeout(() => {
        this.#granted--;
        this.admit();
      }, 0);
    }
  }

  /** Lets everybody go: there will be no queue to wait for. */
  release(): void {
    for (const resolve of this.#waiters.splice(0)) resolve();
  }
}
