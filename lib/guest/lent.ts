import type { Disposer } from '../wire/scope.js';

/** What tasks were lent, by their numbers: ports of callbacks and signals, sockets, streams. It goes with the task. */
export class Lent {
  readonly #disposers = new Map<number, Disposer[]>();

  add(number: number, disposers: Disposer[]): void {
    this.#disposers.set(number, disposers);
  }

  has(number: number): boolean {
    return this.#disposers.size > 0 && this.#disposers.has(number);
  }

  /**
   * Lets go of it before the end of the task is told: the last words of a connection have gone by then.
   *
   * @param pending - what the task waits for, if anything
   * @param result - what it has given, if it does not
   * @returns what has to be waited for, if anything
   */
  close(number: number, pending: Promise<unknown> | undefined, result: unknown): Promise<unknown> | undefined {
    if (!this.has(number)) return pending;
    const close = () => {
      const slow: Promise<void>[] = [];
      // What has yet to be closed stays, for a task that is stopped meanwhile.
      const left = (this.#disposers.get(number) ?? []).filter((dispose) => {
        const closing = dispose(false);
        if (closing !== undefined) slow.push(closing);
        return closing !== undefined;
      });
      this.#disposers.set(number, left);
      return slow.length === 0 ? undefined : Promise.all(slow);
    };
    if (pending !== undefined) return pending.finally(close);
    return close()?.then(() => result);
  }

  /** Lets go of what is left of it. */
  drop(number: number, stopped: boolean): void {
    if (this.#disposers.size === 0) return;
    for (const dispose of this.#disposers.get(number) ?? []) void dispose(stopped);
    this.#disposers.delete(number);
  }
}
