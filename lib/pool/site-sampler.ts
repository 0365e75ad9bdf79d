import { type Site, SubmitSite } from '../site.js';
import type { Callable } from './callables.js';

/** Sites that are noted in a row. */
const MOST_IN_A_ROW = 128;
/** µs after which another one may be noted: each takes some, and more on slow machines. */
const INTERVAL = 1000;

/**
 * Notes where tasks are submitted. To note a site costs as much as to send a task. So when submissions come faster than
 * a thousand a second, only some are noted, and the last one of a callable stands for those that follow.
 */
export class SiteSampler {
  #left = MOST_IN_A_ROW;
  /** When the last of them was given, in µs. */
  #filled = 0;

  /** @param at - the time, in µs */
  note(callable: Callable, at: number): Site {
    const gained = Math.floor((at - this.#filled) / INTERVAL);
    if (gained > 0) {
      this.#left = Math.min(MOST_IN_A_ROW, this.#left + gained);
      this.#filled += gained * INTERVAL;
    }
    const last = this.#left === 0 ? callable.site?.deref() : undefined;
    if (last !== undefined) return last.shared;
    if (this.#left > 0) this.#left--;
    const site = new SubmitSite();
    callable.site = new WeakRef(site);
    return site;
  }
}
