import { clearOwnInterval, setOwnInterval, setOwnTimeout, unref } from '../timeouts.js';
import type { WorkerRunner } from './worker-runner.js';

/** ms that a worker has to give a sign of life before it counts as blocked; a busy machine alone must not look like that. */
const BLOCKED_AFTER_MS = 1000;
/** Turns of this thread within that time: where it is itself that was held up, the sign may be there and not have been read. */
const BLOCKED_TURNS = 5;

/** Asks workers for signs of life that hold a stopped task beside others. */
export class VitalSigns {
  readonly #watched = new WeakSet<WorkerRunner>();

  /**
   * Ends a worker whose thread is blocked. Its other tasks may end in peace, unless they cannot: a blocked thread runs none
   * of them. Asked again and again as long as the stopped task is there, which may block it later.
   */
  watch(runner: WorkerRunner): void {
    if (this.#watched.has(runner)) return;
    this.#watched.add(runner);
    this.#look(runner);
  }

  #look(runner: WorkerRunner): void {
    if (!runner.abandons) {
      this.#watched.delete(runner);
      return;
    }
    let turns = 0;
    const silence = setOwnInterval(() => {
      if (++turns < BLOCKED_TURNS) return;
      clearOwnInterval(silence);
      runner.terminate();
    }, BLOCKED_AFTER_MS / BLOCKED_TURNS);
    runner.ping(() => {
      clearOwnInterval(silence);
      unref(
        setOwnTimeout(() => {
          this.#look(runner);
        }, BLOCKED_AFTER_MS),
      );
    });
  }
}
