import { setOwnTimeout } from '../timeouts.js';

/**
 * Those who wait for room in a full queue, served in the order of their calls.
 *
 * Each place is granted to one caller, and is kept for it until something is submitted, or until the caller has had its
 * turn to do so: the macrotask in which its `await` goes on.
 */
export class RoomWaiters {
  readonly #waiters: (() => void)[] = [];
  readonly #room: () => number;
  readonly #nextTurn: (callback: () => void) => void;
  #expires = false;
  /** Places granted that nobody has used yet. */
  #granted = 0;

  /**
   * @param room - tells how many tasks the queue would take now
   * @param nextTurn - calls back in a macrotask of its own
   */
  constructor(room: () => number, nextTurn: (callback: () => void) => void = inOwnTurn) {
    this.#room = room;
    this.#nextTurn = nextTurn;
  }

  get empty(): boolean {
    return this.#waiters.length === 0;
  }

  /** Whether there is room that is kept for nobody. */
  get spare(): boolean {
    return this.empty && this.#room() > this.#granted;
  }

  wait(): Promise<void> {
    if (this.spare) {
      this.#grant();
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      this.#waiters.push(resolve);
    });
  }

  /** To be called when there may be room. */
  admit(): void {
    while (this.#waiters.length > 0 && this.#room() > this.#granted) {
      this.#grant();
      this.#waiters.shift()?.();
    }
  }

  /** Something is being submitted: a place that was granted is used. */
  use(): void {
    if (this.#granted > 0) this.#granted--;
  }

  #grant(): void {
    this.#granted++;
    // One timer for all grants of a turn; those of later turns are let go a little early, which costs fairness only.
    if (this.#expires) return;
    this.#expires = true;
    this.#nextTurn(() => {
      this.#expires = false;
      this.#granted = 0;
      this.admit();
    });
  }

  /** Lets everybody go: there will be no queue to wait for. */
  release(): void {
    for (const resolve of this.#waiters.splice(0)) resolve();
  }
}

function inOwnTurn(callback: () => void): void {
  setOwnTimeout(callback, 0);
}
