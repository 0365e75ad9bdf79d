import type { Linked } from './task-list.js';
import { TaskQueue } from './task-queue.js';

/** What the scheduler needs to know of a task. */
export interface Schedulable extends Linked {
  readonly priority: number;
  readonly order: number;
  /** It can be sent only once, so it is not sent ahead. */
  readonly moves: boolean;
  readonly callable: { readonly estimate: number | undefined };
}

/** A worker as the scheduler sees it. */
export interface Lane<T> {
  /** Tasks that it may run at once. */
  readonly capacity: number;
  readonly state: 'starting' | 'ready' | 'ending' | 'ended';
  /** Whether it may be sent tasks. */
  readonly accepting: boolean;
  readonly room: number;
  /** Sent and not begun. */
  readonly unbegun: number;
  /** Begun and not ended. */
  readonly active: number;
  /** Nothing in flight to it. */
  readonly idle: boolean;
  /** Tasks begun since its start. */
  readonly progress: number;
  /** About how many ms it goes on with what it runs before it has a slot for more; 0 when it has one. */
  readonly busyFor: number;
  /** The oldest task sent and not begun. */
  readonly oldest: T | undefined;
  takeOldest(count: number): T[];
  takeLower(priority: number): T[];
}

/** What the scheduler has done. */
export interface SchedulerEffects<T, L extends Lane<T>> {
  /** Starts a worker; undefined when none can be started. */
  start(): L | undefined;
  /** @returns false when some of the tasks did not go: they have ended, and the lane has room left */
  send(lane: L, tasks: T[]): boolean;
}

/** Limits that can be changed while the pool lives. */
export interface Sizes {
  maxWorkers: number;
  minWorkers: number;
  minSpareWorkers: number;
}

/** ms of work sent ahead to a worker: long enough to outlast the host's way back, short enough that little has to be taken back. */
const AHEAD_MS = 1;
/** What it grows to, by doubling, for workers that run dry: where processors are short, the way back lasts a turn of others. */
const MOST_DRY_MS = 4;
/** The same while much waits: then each message carries more, and to wake the host seldom leaves the processors to the workers. */
const MOST_AHEAD_MS = 8;
/** Of a worker's share of what waits, one part in so many is sent ahead. */
const PARTS_OF_BACKLOG = 8;
/** Most tasks sent ahead to one worker. */
const MOST_AHEAD = 1024;
/** ms of waiting work, for each worker there is, that are worth the start of another. */
const START_COST_MS = 20;

/**
 * Decides which task goes to which worker, when workers are started, and which tasks are taken back. It does no I/O and
 * knows no time: lanes tell it how far they are, effects carry out what it decides.
 *
 * What holds after each `pump`: the queue is empty or no lane has a free slot; a task waits behind another in a lane
 * only while no other ready lane is free; within a priority, tasks leave the queue in the order of submission.
 */
export class Scheduler<T extends Schedulable, L extends Lane<T>> {
  readonly queue = new TaskQueue<T>();
  readonly lanes: L[] = [];
  readonly sizes: Sizes;
  readonly #effects: SchedulerEffects<T, L>;
  /** No task sent ahead is of lower priority than this. */
  #lowestAhead = Infinity;
  #lastProgress = -1;
  /** How far each lane was at the last check. */
  readonly #progressOf = new WeakMap<L, number>();
  /** Lanes whose threads are blocked, as a check has just found out. */
  readonly #blocked = new Set<L>();
  /** ms of short tasks to send ahead to each lane while little waits, where that is not `AHEAD_MS`. */
  readonly #budgets = new WeakMap<L, number>();
  /** Whether tasks were left in the queue because all lanes had enough. */
  #backlog = false;
  #pumping = false;
  #again = false;

  constructor(sizes: Sizes, effects: SchedulerEffects<T, L>) {
    this.sizes = sizes;
    this.#effects = effects;
  }

  /** Lanes that count against `maxWorkers`: one that only ends does not, nor does one that is kept, and will run no more tasks. */
  get live(): number {
    let live = 0;
    for (const lane of this.lanes) {
      if ((lane.state === 'ready' || lane.state === 'starting') && (lane.accepting || !lane.idle)) live++;
    }
    return live;
  }

  /** Queues a task. A task of higher priority passes those sent ahead. */
  add(task: T): void {
    if (task.priority > this.#lowestAhead) this.#recall(task.priority);
    this.queue.push(task);
  }

  /** Puts back tasks that were taken from a lane, each in its place. */
  putBack(tasks: T[]): void {
    this.queue.putBack(tasks.sort((a, b) => a.order - b.order));
  }

  remove(lane: L): void {
    const at = this.lanes.indexOf(lane);
    if (at >= 0) this.lanes.splice(at, 1);
  }

  /**
   * Brings tasks and workers together.
   *
   * @param ahead - whether tasks are also sent ahead of a worker's need; not done for each of many tasks submitted in a row,
   * so that they go in batches
   */
  pump(ahead = true): void {
    if (this.#pumping) {
      // Something that a decision set off asks for more decisions.
      this.#again = true;
      return;
    }
    this.#pumping = true;
    try {
      do {
        this.#again = false;
        if (this.queue.length > 0) {
          if (ahead && this.#backlog) this.#feedDry();
          this.#fillFree();
          if (this.queue.length > 0) this.#grow();
          if (ahead && this.queue.length > 0) this.#sendAhead();
        }
        if (ahead) {
          this.#backlog = this.queue.length > 0;
          if (!this.#backlog) this.#level();
        }
        this.#keepFloor();
      } while (this.#again as boolean);
    } finally {
      this.#pumping = false;
    }
  }

  /** True when tasks wait that a further worker could begin, if there is leave for one. */
  get wantsWorker(): boolean {
    return this.live < this.sizes.maxWorkers && (this.queue.length > 0 || this.lanes.some(waits));
  }

  /** True when tasks wait for something that only `checkProgress` finds out. */
  get wantsCheck(): boolean {
    return this.wantsWorker || (this.lanes.length > 1 && this.lanes.some(mayBeBlocked));
  }

  /**
   * To be called now and then while `wantsCheck`: starts a worker when nothing has begun since the last call; and where a
   * worker has not begun what it has slots for, its thread is blocked, and others that are free take that over.
   */
  checkProgress(): void {
    let progress = 0;
    let starting = false;
    this.#blocked.clear();
    for (const lane of this.lanes) {
      progress += lane.progress;
      starting ||= lane.state === 'starting';
      if (mayBeBlocked(lane) && this.#progressOf.get(lane) === lane.progress) this.#blocked.add(lane);
      this.#progressOf.set(lane, lane.progress);
    }
    if (progress === this.#lastProgress && !starting && this.wantsWorker) this.#start();
    this.#lastProgress = progress;
    this.pump();
    this.#blocked.clear();
  }

  /** Takes back whatever no worker has begun. */
  recallAll(): void {
    for (const lane of this.lanes) this.putBack(lane.takeOldest(Infinity));
    this.#lowestAhead = Infinity;
  }

  #recall(priority: number): void {
    for (const lane of this.lanes) this.putBack(lane.takeLower(priority));
    this.#lowestAhead = priority;
  }

  /** Free slots first: in ready workers, then in those that start. */
  #fillFree(): void {
    for (const state of ['ready', 'starting'] as const) {
      // Older tasks that were put back took slots that were free: there may be others, for those of the queue.
      while (this.queue.length > 0 && this.#fillFreeOf(state));
      if (this.queue.length === 0) return;
    }
  }

  /** @returns whether tasks were put back, which then come first */
  #fillFreeOf(state: L['state']): boolean {
    const open: { lane: L; free: number; share: number }[] = [];
    for (const lane of this.lanes) {
      if (lane.state !== state || !lane.accepting) continue;
      const free = Math.min(freeSlots(lane), lane.room);
      if (free > 0) open.push({ lane, free, share: 0 });
    }
    // Workers that interleave tasks get the same number of them; the first one is not filled up before the next has any.
    for (let left = this.queue.length; left > 0; left--) {
      let freest = open[0];
      for (const entry of open) if (entry.free > (freest?.free ?? 0)) freest = entry;
      if (freest === undefined || freest.free === 0) break;
      freest.free--;
      freest.share++;
    }
    let putBack = false;
    for (const { lane, share } of open) {
      if (share === 0) continue;
      if (this.#putBackOlder((other) => other !== lane && other.active >= other.capacity, share)) putBack = true;
      this.#send(lane, share, Infinity);
    }
    return putBack;
  }

  /** Starts workers when waiting costs more than starting. Of callables never seen nothing is known, so they get workers. */
  #grow(): void {
    while (this.#uncovered > 0 && this.live < this.sizes.maxWorkers) {
      const estimate = this.queue.first?.callable.estimate ?? Infinity;
      const { live } = this;
      if (live > 0 && (estimate * this.queue.length) / live < START_COST_MS) return;
      const lane = this.#start();
      if (lane === undefined) return;
      this.#send(lane, Math.min(lane.capacity, lane.room), Infinity);
    }
  }

  /** Tasks in the queue beyond those that starting workers will take when they are ready. */
  get #uncovered(): number {
    let uncovered = this.queue.length;
    for (const lane of this.lanes) if (lane.state === 'starting' && lane.room <= 0) uncovered -= lane.capacity;
    return uncovered;
  }

  #start(): L | undefined {
    const lane = this.#effects.start();
    if (lane !== undefined) this.lanes.push(lane);
    return lane;
  }

  /** Lanes that used up what they had while more waited need more ahead; those that did not, in time less. */
  #feedDry(): void {
    for (const lane of this.lanes) {
      if (lane.state !== 'ready' || !lane.accepting) continue;
      const budget = this.#budgets.get(lane) ?? AHEAD_MS;
      if (freeSlots(lane) > 0) this.#budgets.set(lane, Math.min(budget * 2, MOST_DRY_MS));
      else if (budget > AHEAD_MS) this.#budgets.set(lane, Math.max(budget * 0.99, AHEAD_MS));
    }
  }

  #budgetOf(lane: L): number {
    const backlog = (this.queue.length * costOf(this.queue.first)) / this.lanes.length;
    return Math.max(this.#budgets.get(lane) ?? AHEAD_MS, Math.min(backlog / PARTS_OF_BACKLOG, MOST_AHEAD_MS));
  }

  /**
   * Gives each worker what it will need next, some milliseconds' worth, so that it does not wait for the host: those that
   * get on first, in equal shares. What is left is for those that are busy for longer, the one that is free soonest first.
   */
  #sendAhead(): void {
    const lanes = this.lanes
      .filter((lane) => lane.state === 'ready' && lane.accepting)
      .map((lane) => ({ lane, delay: lane.busyFor }))
      .sort((a, b) => a.delay - b.delay);
    let soon = lanes.filter(({ delay }) => delay < AHEAD_MS).length;
    for (const { lane, delay } of lanes) {
      const { length } = this.queue;
      if (length === 0) return;
      const share = delay < AHEAD_MS ? Math.ceil(length / soon--) : length;
      if (!this.#isDue(lane)) continue;
      this.#putBackStuck(delay);
      // What was put back comes first now, and may last longer.
      if (!this.#isDue(lane)) continue;
      const most = Math.min(share, MOST_AHEAD - lane.unbegun, lane.room);
      if (most > 0) this.#send(lane, most, this.#budgetOf(lane) - this.#msAhead(lane), true);
    }
  }

  /** About how much work waits in a lane, in ms, if it is of the kind that comes next. */
  #msAhead(lane: L): number {
    return lane.unbegun * costOf(this.queue.first);
  }

  /** Not for every task that has ended: a refill is worth a message when half is used up. */
  #isDue(lane: L): boolean {
    return lane.unbegun === 0 || this.#msAhead(lane) * 2 < this.#budgetOf(lane);
  }

  /**
   * Puts back tasks that wait behind others in some lanes although they were submitted before the head of the queue.
   *
   * @returns whether there were any
   */
  #putBackOlder(from: (lane: L) => boolean, count: number): boolean {
    const { first } = this.queue;
    if (first === undefined) return false;
    const { length } = this.queue;
    for (const lane of this.lanes) {
      if (lane.unbegun === 0 || !from(lane)) continue;
      const { oldest } = lane;
      if (oldest === undefined || oldest.moves || oldest.priority < first.priority) continue;
      if (oldest.priority > first.priority || oldest.order < first.order) this.putBack(lane.takeOldest(count));
    }
    return this.queue.length > length;
  }

  /** Tasks that wait in lanes that will be free later than one with this delay go first. */
  #putBackStuck(delay: number): void {
    if (this.lanes.length > 1) this.#putBackOlder((other) => delayOf(other) > delay + AHEAD_MS, Infinity);
  }

  /** Sends tasks from the head of the queue: at most `most`, and no more than `budget` ms of them, but one. */
  #send(lane: L, most: number, budget: number, ahead = false): void {
    const tasks: T[] = [];
    let cost = 0;
    while (tasks.length < most) {
      const task = this.queue.first;
      if (task === undefined || (ahead && task.moves)) break;
      cost += costOf(task);
      if (cost > budget && tasks.length > 0) break;
      this.queue.take();
      tasks.push(task);
      if (task.priority < this.#lowestAhead) this.#lowestAhead = task.priority;
    }
    if (tasks.length > 0) this.#handOver(lane, tasks);
  }

  #handOver(lane: L, tasks: T[]): void {
    if (!this.#effects.send(lane, tasks)) this.#again = true;
  }

  /** With nothing queued, free workers take over from busy ones, the oldest tasks first. */
  #level(): void {
    if (!this.lanes.some((lane) => this.#waitingIn(lane) > 0)) return;
    for (const lane of this.lanes) {
      if (lane.state !== 'ready' || !lane.accepting) continue;
      // Those that had to keep what they have.
      let passed: Set<L> | undefined;
      for (;;) {
        const free = Math.min(freeSlots(lane), lane.room);
        if (free <= 0) break;
        let victim: L | undefined;
        let most = 0;
        for (const other of this.lanes) {
          const waiting = other === lane || passed?.has(other) === true ? 0 : this.#waitingIn(other);
          if (waiting <= most) continue;
          victim = other;
          most = waiting;
        }
        if (victim === undefined) break;
        const tasks = victim.takeOldest(Math.min(shareOf(victim, most, free), lane.room));
        if (tasks.length > 0) this.#handOver(lane, tasks);
        else (passed ??= new Set()).add(victim);
      }
    }
  }

  #waitingIn(lane: L): number {
    return this.#blocked.has(lane) ? lane.unbegun : waitingIn(lane);
  }

  /** Keeps the least number of workers, and the spare ones ready ahead of need. */
  #keepFloor(): void {
    const { minWorkers, minSpareWorkers, maxWorkers } = this.sizes;
    if (minWorkers === 0 && minSpareWorkers === 0) return;
    let busy = 0;
    if (minSpareWorkers > 0) for (const lane of this.lanes) if (!lane.idle && lane.state !== 'ended') busy++;
    const floor = Math.min(maxWorkers, Math.max(minWorkers, minSpareWorkers > 0 ? busy + minSpareWorkers : 0));
    while (this.live < floor) if (this.#start() === undefined) return;
  }
}

/** About how long a task lasts, in ms, as far as what is sent ahead goes: of those that are not short, one is enough. */
function costOf(task: Schedulable | undefined): number {
  const estimate = task?.callable.estimate ?? AHEAD_MS;
  return estimate < AHEAD_MS ? estimate : MOST_AHEAD_MS;
}

/** Slots of a lane that no task has or is about to have. */
function freeSlots(lane: Lane<unknown>): number {
  for (;;) {
    const { progress } = lane;
    const free = lane.capacity - lane.active - lane.unbegun;
    // A task that begins between the two reads would be missed.
    if (lane.progress === progress) return free;
  }
}

/** How many tasks wait in a lane for others to end; those that it has a slot for are about to begin. */
function waitingIn(lane: Lane<unknown>): number {
  return lane.state === 'ready' ? lane.unbegun - Math.max(0, lane.capacity - lane.active) : lane.unbegun;
}

/** About how many ms it takes until a lane gets on with what waits in it. */
function delayOf(lane: Lane<Schedulable>): number {
  return lane.state === 'ready' ? lane.busyFor : START_COST_MS;
}

/** How many of the tasks that wait in a lane a free one takes over, so that both are through at about the same time. */
function shareOf(victim: Lane<Schedulable>, waiting: number, free: number): number {
  // What waits in a worker that is not full was meant for slots, not for a batch.
  const full = victim.state === 'ready' && victim.active >= victim.capacity;
  if (!full || waiting <= free) return Math.min(free, waiting);
  const delay = victim.busyFor / (victim.oldest?.callable.estimate ?? AHEAD_MS);
  return Math.max(free, Math.floor((waiting + (delay > 0 ? delay : 0)) / 2));
}

/** True when a lane has slots for tasks that it has not begun: it is waking, or what it runs blocks its thread. */
function mayBeBlocked(lane: Lane<unknown>): boolean {
  return lane.state === 'ready' && lane.unbegun > 0 && lane.active < lane.capacity;
}

/** True when tasks wait in a lane behind others, and not only for the lane to wake. */
function waits(lane: Lane<unknown>): boolean {
  return lane.unbegun > Math.max(0, lane.capacity - lane.active);
}
