import { AssertionError } from 'chai';
import { type Lane, type Schedulable, Scheduler, type Sizes } from '../../dist/pool/scheduler.js';

/** A function that tasks call: how long it runs, and what is known of that. */
export class FakeCallable {
  estimate: number | undefined;
  readonly runTime: number;

  constructor(runTime: number, known: boolean) {
    this.runTime = runTime;
    this.estimate = known ? runTime : undefined;
  }
}

/** A task that counts what is done to it. */
export class FakeTask implements Schedulable {
  readonly order: number;
  readonly priority: number;
  readonly callable: FakeCallable;
  readonly moves: boolean;
  /** It cannot be cloned, so it ends when it is to be sent. */
  readonly unsendable: boolean;
  list: Schedulable['list'] = undefined;
  previous: Schedulable['previous'] = undefined;
  next: Schedulable['next'] = undefined;
  lane: FakeLane | undefined = undefined;
  /** Counts the times that it was sent: what was sent before is stale. */
  sending = 0;
  begins = 0;
  ended: 'finished' | 'cancelled' | 'lost' | 'refused' | undefined = undefined;

  constructor(order: number, priority: number, callable: FakeCallable, moves: boolean, unsendable: boolean) {
    this.order = order;
    this.priority = priority;
    this.callable = callable;
    this.moves = moves;
    this.unsendable = unsendable;
  }
}

/**
 * A worker without a thread. Its guest begins tasks in the order sent, as many at a time as it has slots, when the model
 * says so: also while the host looks at it, as a thread would.
 */
export class FakeLane implements Lane<FakeTask> {
  readonly #model: SchedulerModel;
  state: Lane<FakeTask>['state'] = 'starting';
  readonly sent: { task: FakeTask; sending: number }[] = [];
  readonly ahead = new Set<FakeTask>();
  readonly begun = new Set<FakeTask>();
  /** Ended; the host has not heard of it. */
  unheard: FakeTask[] = [];
  progressed = 0;
  #sends = 0;

  constructor(model: SchedulerModel) {
    this.#model = model;
  }

  get capacity(): number {
    return this.#model.setup.capacity;
  }

  get accepting(): boolean {
    return (this.state === 'starting' || this.state === 'ready') && this.#sends < this.#model.setup.maxTasks;
  }

  get room(): number {
    const slots = this.#model.setup.sharedMemory ? 2048 : this.capacity;
    return Math.min(slots - this.inFlight, this.#model.setup.maxTasks - this.#sends);
  }

  get unbegun(): number {
    this.#model.race(this);
    return this.#model.setup.sharedMemory ? this.ahead.size : 0;
  }

  get active(): number {
    this.#model.race(this);
    return this.#model.setup.sharedMemory ? this.begun.size : this.inFlight;
  }

  get idle(): boolean {
    return this.inFlight === 0;
  }

  get progress(): number {
    return this.#model.setup.sharedMemory ? this.progressed : this.#sends;
  }

  /** As if what it runs had just begun. */
  get busyFor(): number {
    this.#model.race(this);
    if (!this.#model.setup.sharedMemory || this.begun.size < this.capacity) return 0;
    return Math.min(...[...this.begun].map(({ callable }) => callable.estimate ?? callable.runTime)) / this.capacity;
  }

  get oldest(): FakeTask | undefined {
    this.#model.race(this);
    if (!this.#model.setup.sharedMemory) return undefined;
    for (const task of this.ahead) return task;
    return undefined;
  }

  takeOldest(count: number): FakeTask[] {
    this.#model.race(this);
    return [...this.ahead]
      .filter((task) => !task.moves)
      .slice(0, count)
      .filter((task) => this.takeBack(task));
  }

  takeLower(priority: number): FakeTask[] {
    this.#model.race(this);
    return [...this.ahead].filter((task) => task.priority < priority && !task.moves && this.takeBack(task));
  }

  takeBack(task: FakeTask): boolean {
    if (!this.#model.setup.sharedMemory || !this.ahead.delete(task)) return false;
    task.lane = undefined;
    task.sending++;
    this.#sends--;
    return true;
  }

  get inFlight(): number {
    return this.ahead.size + this.begun.size + this.unheard.length;
  }

  get spent(): boolean {
    return this.#sends >= this.#model.setup.maxTasks && this.inFlight === 0;
  }

  receive(tasks: readonly FakeTask[]): void {
    for (const task of tasks) {
      this.#sends++;
      task.lane = this;
      this.ahead.add(task);
      this.sent.push({ task, sending: ++task.sending });
    }
  }

  get canBegin(): boolean {
    return (
      (this.state === 'ready' || this.state === 'ending') && this.begun.size < this.capacity && this.ahead.size > 0
    );
  }

  /** The guest begins its next task, if it has a slot for one. */
  begin(): void {
    if (!this.canBegin) return;
    for (let entry = this.sent.shift(); entry !== undefined; entry = this.sent.shift()) {
      const { task, sending } = entry;
      if (task.sending !== sending) continue;
      this.ahead.delete(task);
      this.begun.add(task);
      this.progressed++;
      task.begins++;
      check(task.begins === 1, `task ${String(task.order)} begins once`);
      check(task.ended === undefined, `task ${String(task.order)} has not ended before it begins`);
      return;
    }
  }

  /** The guest ends one of the tasks that it has begun. */
  end(at: number): void {
    const task = [...this.begun][at % Math.max(1, this.begun.size)];
    if (task === undefined) return;
    this.begun.delete(task);
    this.unheard.push(task);
  }
}

/** What a run of the model is like. */
export interface Setup {
  capacity: number;
  maxTasks: number;
  sharedMemory: boolean;
  sizes: Sizes;
  /** What threads do while the host looks at them: nothing, begin or end a task; used up one by one. */
  races: readonly number[];
}

/** What happens to a pool. Numbers that name a lane or a task are taken modulo how many there are. */
export type PoolEvent =
  | { kind: 'submit'; count: number; priority: number; callable: number; moves: boolean; unsendable: boolean }
  | { kind: 'started' | 'begin' | 'hear' | 'die'; lane: number }
  | { kind: 'end'; lane: number; at: number }
  | { kind: 'cancel'; task: number }
  | { kind: 'resize'; sizes: Sizes }
  | { kind: 'recall' }
  | { kind: 'check' };

/**
 * A pool in which only the scheduler is real. After each event the rules are checked that hold at any time; `settle` also
 * checks those that hold once the workers have had the chance to begin what they have.
 */
export class SchedulerModel {
  readonly setup: Setup;
  readonly scheduler: Scheduler<FakeTask, FakeLane>;
  readonly tasks: FakeTask[] = [];
  /** Everything sent, in order. */
  readonly sends: FakeTask[] = [];
  /** Whether the platform can start workers. */
  startable = true;
  readonly callables: FakeCallable[];
  #nextRace = 0;
  #racing = false;

  constructor(setup: Setup, callables: FakeCallable[]) {
    this.setup = setup;
    this.callables = callables;
    this.scheduler = new Scheduler<FakeTask, FakeLane>(
      { ...setup.sizes },
      {
        start: () => (this.startable ? new FakeLane(this) : undefined),
        send: (lane, tasks) => this.#send(lane, tasks),
      },
    );
    this.scheduler.pump();
  }

  get lanes(): readonly FakeLane[] {
    return this.scheduler.lanes;
  }

  apply(event: PoolEvent): void {
    this.#racing = true;
    this.#apply(event);
    this.#racing = false;
    this.#checkSizes();
  }

  #apply(event: PoolEvent): void {
    const { scheduler } = this;
    switch (event.kind) {
      case 'submit':
        for (let i = 0; i < event.count; i++) this.#submit(event);
        scheduler.pump();
        return;
      case 'cancel':
        this.#cancel(pick(this.tasks, event.task));
        return;
      case 'resize':
        this.#resize(event.sizes);
        return;
      case 'recall':
        scheduler.recallAll();
        for (const lane of this.lanes) {
          check([...lane.ahead].every(({ moves }) => moves) || !this.setup.sharedMemory, 'everything is taken back');
        }
        scheduler.pump();
        return;
      case 'check':
        scheduler.checkProgress();
        return;
      default: {
        const lane = pick(this.lanes, event.lane);
        if (lane === undefined) return;
        if (event.kind === 'started') this.started(lane);
        else if (event.kind === 'begin') lane.begin();
        else if (event.kind === 'end') lane.end(event.at);
        else if (event.kind === 'hear') this.hear(lane);
        else this.#exit(lane);
      }
    }
  }

  /** A thread does something at the moment that the host looks at its lane. */
  race(lane: FakeLane): void {
    if (!this.#racing) return;
    const what = this.setup.races[this.#nextRace++];
    if (what === 1) lane.begin();
    else if (what === 2) lane.end(0);
  }

  started(lane: FakeLane): void {
    if (lane.state !== 'starting') return;
    lane.state = 'ready';
    this.scheduler.pump();
  }

  /** The host hears of the tasks that have ended in a lane. */
  hear(lane: FakeLane): void {
    if (lane.unheard.length === 0) return;
    this.#note(lane);
    if (lane.spent || (lane.state === 'ending' && lane.inFlight === 0)) this.#exit(lane);
    else this.scheduler.pump();
  }

  /** Lets every ready worker begin what it can, and the host hear what has ended; then nothing may wait in vain. */
  settle(): void {
    for (let i = 0; ; i++) {
      check(i < 10_000, 'the workers come to rest');
      for (const lane of this.lanes) while (lane.canBegin) lane.begin();
      const spoken = this.lanes.find(({ unheard }) => unheard.length > 0);
      if (spoken === undefined && !this.lanes.some(({ canBegin }) => canBegin)) break;
      if (spoken !== undefined) this.hear(spoken);
    }
    const { queue } = this.scheduler;
    const free = this.lanes.find(
      (lane) => lane.state === 'ready' && lane.accepting && lane.room > 0 && lane.begun.size < lane.capacity,
    );
    if (free === undefined) return;
    check(queue.length === 0, 'the queue is empty while a ready worker is free');
    if (!this.setup.sharedMemory) return;
    for (const lane of this.lanes) {
      check(
        [...lane.ahead].every(({ moves }) => moves),
        `nothing waits in a lane that is ${lane.state} while a ready worker is free`,
      );
    }
  }

  /** Runs everything to its end. */
  drain(): void {
    for (let rounds = 0; this.tasks.some(({ ended }) => ended === undefined); rounds++) {
      check(rounds < 10_000, 'every task ends some day');
      if (this.lanes.length === 0) this.scheduler.pump();
      for (const lane of [...this.lanes]) this.started(lane);
      this.settle();
      for (const lane of [...this.lanes]) {
        while (lane.begun.size > 0) lane.end(0);
        this.hear(lane);
      }
      this.#checkSizes();
    }
    for (const task of this.tasks) {
      const { ended, begins, order } = task;
      if (ended === 'finished') check(begins === 1, `task ${String(order)}, which finished, began once`);
      if (ended !== 'finished' && ended !== 'lost') check(begins === 0, `task ${String(order)} never began`);
    }
  }

  #submit(event: Extract<PoolEvent, { kind: 'submit' }>): void {
    const callable = pick(this.callables, event.callable);
    if (callable === undefined) return;
    const task = new FakeTask(this.tasks.length, event.priority, callable, event.moves, event.unsendable);
    this.tasks.push(task);
    this.scheduler.add(task);
    if (this.setup.sharedMemory) {
      for (const lane of this.lanes) {
        for (const other of lane.ahead) {
          check(other.moves || other.priority >= task.priority, 'what was sent ahead is not of lower priority');
        }
      }
    }
    if (this.scheduler.queue.length === 1) this.scheduler.pump(false);
  }

  #cancel(task: FakeTask | undefined): void {
    if (task === undefined || task.ended !== undefined) return;
    if (task.lane !== undefined) {
      if (!task.lane.takeBack(task)) return;
    } else {
      check(this.scheduler.queue.has(task), 'a task is queued, or in a lane, or has ended');
      this.scheduler.queue.remove(task);
    }
    this.#end(task, 'cancelled');
    this.scheduler.pump();
  }

  #resize(sizes: Sizes): void {
    Object.assign(this.scheduler.sizes, sizes);
    const live = this.lanes.filter(({ state }) => state === 'starting' || state === 'ready');
    live.sort((a, b) => Number(b.idle) - Number(a.idle));
    for (const lane of live.slice(0, Math.max(0, live.length - sizes.maxWorkers))) {
      lane.state = 'ending';
      this.scheduler.putBack(lane.takeOldest(Infinity));
      if (lane.inFlight === 0) this.#exit(lane);
    }
    this.scheduler.pump();
  }

  /** The worker ends, whatever it does: what it has begun is lost, the rest goes back. */
  #exit(lane: FakeLane): void {
    this.#note(lane);
    lane.state = 'ended';
    this.scheduler.remove(lane);
    const back: FakeTask[] = [];
    for (const task of [...lane.begun, ...lane.ahead]) {
      const begun = lane.begun.has(task) || !this.setup.sharedMemory;
      if (begun || task.moves) {
        this.#end(task, 'lost');
      } else {
        lane.takeBack(task);
        back.push(task);
      }
    }
    this.scheduler.putBack(back);
    this.scheduler.pump();
  }

  #note(lane: FakeLane): void {
    for (const task of lane.unheard.splice(0)) {
      const { callable } = task;
      const { estimate, runTime } = callable;
      callable.estimate = estimate === undefined ? runTime : estimate + (runTime - estimate) * 0.25;
      this.#end(task, 'finished');
    }
  }

  #end(task: FakeTask, how: NonNullable<FakeTask['ended']>): void {
    check(task.ended === undefined, `task ${String(task.order)} ends once`);
    task.ended = how;
  }

  #send(lane: FakeLane, tasks: readonly FakeTask[]): boolean {
    const [first] = tasks;
    check(first !== undefined, 'something is sent');
    check(lane.accepting && tasks.length <= lane.room, 'no more is sent than the lane accepts');
    const { queue } = this.scheduler;
    for (const [i, task] of tasks.entries()) {
      check(task.lane === undefined && task.ended === undefined && !queue.has(task), 'what is sent was waiting');
      const follower = tasks[i + 1] ?? queue.first;
      if (follower !== undefined && queue.length > 0) {
        check(comesBefore(task, follower), 'tasks leave the queue by priority, then in the order of submission');
      }
    }
    this.sends.push(...tasks);
    const refused = tasks.filter(({ unsendable }) => unsendable);
    lane.receive(tasks.filter(({ unsendable }) => !unsendable));
    this.#checkAhead(lane);
    for (const task of refused) this.#end(task, 'refused');
    return refused.length === 0;
  }

  #checkAhead(lane: FakeLane): void {
    const slots = Math.max(0, lane.capacity - lane.begun.size);
    const ahead = [...lane.ahead].slice(slots);
    if (!this.setup.sharedMemory || lane.state !== 'ready') check(ahead.length === 0, 'only ready lanes are sent more');
    const isSlow = ({ callable: { estimate } }: FakeTask) => estimate === undefined || estimate >= 1;
    check(ahead.filter(isSlow).length <= 1, 'at most one task of 1 ms or of unknown length waits behind others');
    const ms = ahead.reduce((sum, task) => sum + (isSlow(task) ? 0 : (task.callable.estimate ?? 0)), 0);
    // A refill comes at half of the budget, counted in tasks of the callable that comes next.
    check(ms < 20, `${String(ms)} ms of short tasks wait behind others`);
    check(!ahead.some(({ moves }) => moves), 'what can be sent only once is not sent ahead');
  }

  #checkSizes(): void {
    const { live, sizes } = this.scheduler;
    const { maxWorkers, minWorkers, minSpareWorkers } = sizes;
    check(live <= maxWorkers, 'there are at most maxWorkers');
    const busy = this.lanes.filter(({ idle }) => !idle).length;
    const spare = minSpareWorkers > 0 ? busy + minSpareWorkers : 0;
    check(
      live >= Math.min(maxWorkers, Math.max(minWorkers, spare)),
      'there are at least minWorkers, and the spare ones',
    );
  }
}

function comesBefore(a: FakeTask, b: FakeTask): boolean {
  return a.priority > b.priority || (a.priority === b.priority && a.order < b.order);
}

function pick<T>(list: readonly T[], at: number): T | undefined {
  return list[at % Math.max(1, list.length)];
}

function check(condition: boolean, rule: string): asserts condition {
  if (!condition) throw new AssertionError(`broken: ${rule}`);
}
