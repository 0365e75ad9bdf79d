/** What a pooled server has done and is doing. */
export interface ServerStats {
  /** Connections, datagrams or requests that have come. */
  accepted: number;
  /** Those served now. */
  active: number;
  /** Those that wait for a place. */
  waiting: number;
  /** Those that were sent away because too many waited. */
  refused: number;
  /** Those served well. */
  completed: number;
  /** Those whose handler failed. */
  failed: number;
}

export function noCounts(): ServerStats {
  return { accepted: 0, active: 0, waiting: 0, refused: 0, completed: 0, failed: 0 };
}

/** What the places are in, where others take room there, too. */
export interface Room {
  /** Whether there is room for one more. */
  readonly open: boolean;
  /** Resolves when room for one is kept for whoever asked, as long as it begins at once. */
  whenOpen(): Promise<void>;
}

/**
 * A bounded number of places, and a bounded line of those who wait for one: what a pooled server does with connections,
 * datagrams and requests alike. It counts them.
 */
export class Slots<T> {
  readonly #places: () => number;
  readonly #mostWaiting: number;
  /** In the order of arrival. */
  readonly #line = new Set<T>();
  readonly #begin: (entry: T) => void;
  readonly #room: Room | undefined;
  #accepted = 0;
  #taken = 0;
  #refused = 0;
  #completed = 0;
  #failed = 0;
  #closed = false;
  #filling = false;
  #awaitsRoom = false;
  #onIdle: (() => void)[] = [];

  /**
   * @param places - how many there are; may change
   * @param begin - is called for an entry that has a place; `release` gives the place back
   * @param room - where a place is of use only when there is room, too
   */
  constructor(places: () => number, mostWaiting: number, begin: (entry: T) => void, room?: Room) {
    this.#places = places;
    this.#mostWaiting = mostWaiting;
    this.#begin = begin;
    this.#room = room;
  }

  counts(): ServerStats {
    return {
      accepted: this.#accepted,
      active: this.#taken,
      waiting: this.#line.size,
      refused: this.#refused,
      completed: this.#completed,
      failed: this.#failed,
    };
  }

  /** Whether all places are taken. */
  get full(): boolean {
    return this.#taken >= this.#places();
  }

  /** @returns false when there is neither a place nor room in the line: it is refused */
  enter(entry: T): boolean {
    this.#accepted++;
    if (!this.#closed) {
      // Whoever has waited goes first, should there be more places than before.
      if (this.#line.size > 0) this.fill();
      if (this.#line.size === 0 && !this.full && this.#room?.open !== false) {
        this.#taken++;
        this.#begin(entry);
        return true;
      }
      if (this.#line.size < this.#mostWaiting) {
        this.#line.add(entry);
        this.#awaitRoom();
        return true;
      }
    }
    this.#refused++;
    return false;
  }

  /** One who had a place has ended, well or badly: it goes to whoever has waited longest. */
  release(how: 'completed' | 'failed'): void {
    if (how === 'completed') this.#completed++;
    else this.#failed++;
    this.#taken--;
    this.fill();
    if (this.#taken === 0) for (const resolve of this.#onIdle.splice(0)) resolve();
  }

  /** Gives free places to those in line; to be called when there may be more places. */
  fill(): void {
    this.#fill(false);
  }

  /** @param hasRoom - whether there is room for the first in line in any case */
  #fill(hasRoom: boolean): void {
    // An entry that ends at once releases its place within `begin`: a long line of such must not become a deep stack.
    if (this.#filling) return;
    this.#filling = true;
    try {
      for (const entry of this.#line) {
        if (this.full || !(hasRoom || this.#room?.open !== false)) break;
        hasRoom = false;
        this.#line.delete(entry);
        this.#taken++;
        this.#begin(entry);
      }
    } finally {
      this.#filling = false;
    }
    this.#awaitRoom();
  }

  /** Who waits for room, and not for a place, is told of it by nobody else. */
  #awaitRoom(): void {
    if (this.#room === undefined || this.#awaitsRoom || this.#line.size === 0 || this.full) return;
    this.#awaitsRoom = true;
    void this.#room.whenOpen().then(() => {
      this.#awaitsRoom = false;
      this.#fill(true);
    });
  }

  /** Takes an entry out of the line: it has failed. @returns false when it is not in line */
  leave(entry: T): boolean {
    const left = this.#line.delete(entry);
    if (left) this.#failed++;
    return left;
  }

  /**
   * Refuses everybody in line, and whoever comes from now on.
   *
   * @returns when those who have places have ended
   */
  close(sendAway: (entry: T) => void): Promise<void> {
    this.#closed = true;
    const line = [...this.#line];
    this.#line.clear();
    this.#refused += line.length;
    for (const entry of line) sendAway(entry);
    if (this.#taken === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onIdle.push(resolve);
    });
  }
}
