import { now } from '#host';
import { setOwnTimeout, unref } from '../timeouts.js';
import type { Scheduler } from './scheduler.js';
import type { Task } from './task.js';
import { type RunnerConfig, type RunnerEvents, WorkerRunner } from './worker-runner.js';

/** ms between two looks at whether waiting tasks make progress while a further worker could be started. */
const PROGRESS_CHECK_MS = 10;

/** The workers of a pool that have not ended, in whatever state, and the timers about them. */
export class Workforce {
  readonly #runners = new Set<WorkerRunner>();
  readonly #prefix: string;
  readonly #idleTimeout: number;
  readonly #scheduler: Scheduler<Task, WorkerRunner>;
  readonly #waiters = new Set<{ isOver: () => boolean; resolve: () => void }>();
  #started = 0;
  #idleTimer: ReturnType<typeof setTimeout> | undefined;
  #progressTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(prefix: string, idleTimeout: number, scheduler: Scheduler<Task, WorkerRunner>) {
    this.#prefix = prefix;
    this.#idleTimeout = idleTimeout;
    this.#scheduler = scheduler;
  }

  [Symbol.iterator](): IterableIterator<WorkerRunner> {
    return this.#runners.values();
  }

  /** @throws when the platform cannot start a worker */
  start(config: RunnerConfig, events: RunnerEvents): WorkerRunner {
    const runner = new WorkerRunner(`${this.#prefix}_${String(this.#started++)}`, config, events);
    this.#runners.add(runner);
    return runner;
  }

  /** The workers beyond a number: idle ones first, and those that objects live in last. */
  superfluous(most: number): WorkerRunner[] {
    const live = [...this.#runners].filter(({ state }) => state === 'starting' || state === 'ready');
    const worth = ({ idle, pinned }: WorkerRunner) => Number(!idle) + 2 * Number(pinned);
    return live.sort((a, b) => worth(a) - worth(b)).slice(0, Math.max(0, live.length - most));
  }

  /** Ends every worker at once, but for those whose streams are read or written: these end with their streams. */
  end(): void {
    for (const runner of this.#runners) {
      if (runner.idle && runner.serves) runner.retire();
      else runner.terminate();
    }
    this.#tellWaiters();
  }

  /** Ends the workers that run nothing, but for those. */
  endIdle(): void {
    for (const runner of this.#runners) if (runner.idle && !runner.serves) runner.terminate();
  }

  /** The worker has ended. */
  forget(runner: WorkerRunner): void {
    this.#runners.delete(runner);
    if (this.#runners.size === 0 && this.#idleTimer !== undefined) {
      // It would keep the whole pool in memory for `idleTimeout`.
      clearTimeout(this.#idleTimer);
      this.#idleTimer = undefined;
    }
    this.#tellWaiters();
  }

  /** Resolves when the worker has ended. */
  gone(runner: WorkerRunner): Promise<void> {
    return this.#wait(() => !this.#runners.has(runner));
  }

  /**
   * Resolves when every worker has ended. It does not wait for those that stay only for streams: these may be read later, by
   * whoever waits for this.
   */
  allGone(): Promise<void> {
    return this.#wait(() => [...this.#runners].every(({ lingers }) => lingers));
  }

  /** Sees to it that workers end that have been idle for too long. */
  watchIdle(): void {
    if (this.#idleTimer !== undefined || this.#idleTimeout > 2 ** 31 - 1) return;
    if (this.#runners.size <= this.#scheduler.sizes.minWorkers) return;
    const idle = this.#dispensable();
    if (idle.length === 0) return;
    const oldest = Math.min(...idle.map(({ idleSince }) => idleSince));
    const wait = Math.max(1, oldest + this.#idleTimeout - now());
    this.#idleTimer = setTimeout(() => {
      this.#idleTimer = undefined;
      const since = now() - this.#idleTimeout;
      for (const runner of this.#dispensable()) if (runner.idleSince <= since) runner.terminate();
      this.watchIdle();
    }, wait);
    unref(this.#idleTimer);
  }

  /** Sees to it that a further worker starts when those there are get on with nothing. */
  watchProgress(): void {
    if (this.#progressTimer !== undefined || !this.#scheduler.wantsCheck) return;
    this.#progressTimer = setOwnTimeout(() => {
      this.#progressTimer = undefined;
      this.#scheduler.checkProgress();
      this.watchProgress();
    }, PROGRESS_CHECK_MS);
    unref(this.#progressTimer);
  }

  /** Idle workers above the floors, those idle longest first. */
  #dispensable(): WorkerRunner[] {
    const { minWorkers, minSpareWorkers } = this.#scheduler.sizes;
    const idle: WorkerRunner[] = [];
    let busy = 0;
    for (const runner of this.#runners) {
      if (!runner.idle) busy++;
      else if (runner.state === 'ready' && !runner.pinned) idle.push(runner);
    }
    const floor = Math.max(minWorkers, busy + minSpareWorkers);
    const excess = Math.min(idle.length, Math.max(0, busy + idle.length - floor));
    return idle.sort((a, b) => a.idleSince - b.idleSince).slice(0, excess);
  }

  #wait(isOver: () => boolean): Promise<void> {
    if (isOver()) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiters.add({ isOver, resolve });
    });
  }

  #tellWaiters(): void {
    for (const waiter of this.#waiters) {
      if (!waiter.isOver()) continue;
      this.#waiters.delete(waiter);
      waiter.resolve();
    }
  }
}
