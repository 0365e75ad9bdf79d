import { reportCallbackError, warn } from '#diagnostics';
import { wrapRemoteObject } from '../comlink.js';
import { BrokenExecutor, ExecutorShutdownError, QueueFullError, type WorkerDeath, WorkerDiedError } from '../errors.js';
import {
  type Constructor,
  Executor,
  type ExecutorStats,
  type RemoteObject,
  type ShutdownOptions,
  type TaskOptions,
} from '../executor.js';
import { fail, type Future, markCancelled, markRunning, succeed } from '../future.js';
import { readOptions } from '../options.js';
import { addSite, type Site } from '../site.js';
import type { Backend } from './backend.js';
import { type Callable, CallableRegistry, PinnedCallable } from './callables.js';
import { ResultStream, StreamReader } from './result-stream.js';
import type { InitialCall } from './initial-call.js';
import { Ledger } from './ledger.js';
import { type CheckedPoolOptions, checkSizes, type PoolSize } from './pool-options.js';
import { RoomWaiters } from './room.js';
import { Scheduler } from './scheduler.js';
import { SiteSampler } from './site-sampler.js';
import { TaskLimits } from './task-limits.js';
import { extraOf, type Special, Task } from './task.js';
import { VitalSigns } from './vital-signs.js';
import type { Endings, RunnerConfig, RunnerExit, WorkerRunner } from './worker-runner.js';
import { Workforce } from './workforce.js';

/** Deaths of workers, with nothing finished between them, that break a pool. */
const DEATHS_THAT_BREAK = 10;
/** Ends with the turn, for less than queueMicrotask of Node takes: that makes an object for async_hooks. */
const TURN = Promise.resolve();
/** Tasks submitted in one turn before they are sent although the turn goes on. */
const SUBMITS_PER_PUMP = 256;

/**
 * An executor over workers of some kind: queues, sends and settles. What goes where is the scheduler's decision, one
 * worker's life is a runner's, the kind of worker is the back end's.
 */
export abstract class WorkerPoolExecutor extends Executor {
  readonly #options: CheckedPoolOptions;
  readonly #backend: Backend;
  readonly #brokenClass: new (message: string, options?: ErrorOptions) => BrokenExecutor;
  readonly #scheduler: Scheduler<Task, WorkerRunner>;
  readonly #callables: CallableRegistry;
  readonly #initializer: InitialCall | undefined;
  readonly #ledger = new Ledger(this);
  readonly #room: RoomWaiters;
  readonly #limits: TaskLimits;
  readonly #workforce: Workforce;
  readonly #sites = new SiteSampler();
  readonly #onResize = new Set<() => void>();
  /** Tasks that were loading their modules when their worker died of a stray error: that may happen to each once. */
  readonly #spared = new WeakSet<Task>();
  readonly #vitalSigns = new VitalSigns();

  #nextOrder = 0;
  /** Sendings of tasks to workers so far. */
  #sends = 0;
  #deaths = 0;
  #isShutdown = false;
  #broken: { message: string; cause: unknown } | undefined;
  #pumpQueued = false;
  #submitsThisTurn = 0;

  protected constructor(
    options: CheckedPoolOptions,
    backend: Backend,
    brokenClass: new (message: string, options?: ErrorOptions) => BrokenExecutor,
  ) {
    super();
    this.#options = options;
    this.#backend = backend;
    this.#brokenClass = brokenClass;
    this.#callables = new CallableRegistry({ withdraw: (task) => this.#withdraw(task) }, (callable) => {
      for (const runner of this.#workforce) runner.forget(callable);
    });
    this.#initializer =
      options.initializer === undefined
        ? undefined
        : { definition: this.#callables.get(options.initializer).definition, args: [...options.initargs] };
    this.#room = new RoomWaiters(() => this.#roomInQueue());
    const { maxWorkers, minWorkers, minSpareWorkers } = options;
    this.#scheduler = new Scheduler(
      { maxWorkers, minWorkers, minSpareWorkers },
      {
        start: () => this.#startWorker(),
        send: (runner, tasks) => {
          const refused = runner.send(tasks);
          this.#settleAll(refused);
          return refused.tasks.length === 0;
        },
      },
    );
    this.#limits = new TaskLimits((task, reason) => {
      this.#stop(task, reason);
    });
    this.#workforce = new Workforce(options.threadNamePrefix, options.idleTimeout, this.#scheduler);
    this.#scheduler.pump();
  }

  /** @inheritDoc */
  join(): Promise<void> {
    return this.#ledger.join();
  }

  /** @inheritDoc */
  ready(): Promise<void> {
    return this.#room.wait();
  }

  /** How many tasks it runs at once when all its workers are there. */
  get slots(): number {
    return this.#scheduler.sizes.maxWorkers * this.#options.concurrentTasksPerWorker;
  }

  /** Whether a task would be accepted without taking the room of those who wait for it. One that is refused for good need not wait. @internal */
  get hasSpareRoom(): boolean {
    return this.#isShutdown || this.#broken !== undefined || this.#room.spare;
  }

  /** Has `listener` called after each change of the pool's size. @returns what ends that @internal */
  whenResized(listener: () => void): () => void {
    this.#onResize.add(listener);
    return () => this.#onResize.delete(listener);
  }

  /** @inheritDoc */
  stats(): ExecutorStats {
    let idle = 0;
    let busy = 0;
    let queued = this.#scheduler.queue.length;
    for (const runner of this.#workforce) {
      if (runner.idle) idle++;
      else busy++;
      queued += runner.unbegun;
    }
    const { pending } = this.#ledger;
    queued = Math.min(queued, pending);
    return {
      workers: idle + busy,
      idle,
      busy,
      queued,
      running: pending - queued,
      ...this.#ledger.counts(),
    };
  }

  /**
   * Changes how many workers there are. Superfluous ones end when they have ended their tasks.
   *
   * @returns a promise that resolves when they have
   * @throws RangeError when a size is nonsense
   */
  async resize(size: PoolSize): Promise<void> {
    const sizes = checkSizes(readOptions(size, 'resize'), this.#scheduler.sizes);
    Object.assign(this.#scheduler.sizes, sizes);
    if (this.#isShutdown) this.#keepNone();
    const superfluous = this.#workforce.superfluous(sizes.maxWorkers);
    for (const runner of superfluous) this.#retire(runner);
    this.#pump();
    this.#room.admit();
    this.#workforce.watchIdle();
    for (const listener of this.#onResize) listener();
    await Promise.all(superfluous.map((runner) => this.#workforce.gone(runner)));
  }

  /** @inheritDoc */
  async shutdown(given?: ShutdownOptions): Promise<void> {
    const { wait = true, cancelFutures = false } = readOptions(given, 'shutdown');
    this.#isShutdown = true;
    this.#keepNone();
    if (cancelFutures) this.#cancelPending();
    this.#room.release();
    this.#endIfDone();
    if (wait) await this.#workforce.allGone();
  }

  /** @inheritDoc */
  terminateWorkers(): Promise<void> {
    return this.#endWorkers('terminated by terminateWorkers()', (runner) => {
      runner.terminate();
    });
  }

  /** As `terminateWorkers`, and idle workers are not left to end in order either. @internal */
  protected killAll(): Promise<void> {
    return this.#endWorkers('killed by killWorkers()', (runner) => {
      runner.kill();
    });
  }

  async #endWorkers(how: string, end: (runner: WorkerRunner) => void): Promise<void> {
    this.#isShutdown = true;
    this.#keepNone();
    const message = `The workers were ${how}; make a new executor`;
    this.#scheduler.recallAll();
    for (const runner of this.#workforce) {
      const tasks = [...runner.begunTasks(), ...runner.unbegunTasks()];
      end(runner);
      for (const task of tasks) {
        runner.abandon(task);
        this.#fail(task, new this.#brokenClass(message));
      }
    }
    this.#failQueued(() => new this.#brokenClass(message));
    this.#room.release();
    await this.#workforce.allGone();
  }

  /** No worker is kept that has nothing to do. */
  #keepNone(): void {
    this.#scheduler.sizes.minWorkers = 0;
    this.#scheduler.sizes.minSpareWorkers = 0;
  }

  /** Takes back a task that has not begun, because its future is being cancelled. */
  #withdraw(task: Task): boolean {
    const { queue } = this.#scheduler;
    if (task.runner !== undefined) {
      if (!task.runner.takeBack(task)) return false;
      // Its slot is free for the next one, of which nobody else will tell the scheduler.
      this.#queuePump();
    } else if (queue.has(task)) {
      queue.remove(task);
    } else {
      return false;
    }
    this.#ledger.cancelled(task);
    this.#close(task);
    // The future is told when this returns, and before those who wait for all of them.
    this.#ledger.leaveAfterTurn(task);
    return true;
  }

  /** @internal */
  protected checkCallable(callable: unknown): void {
    this.checkOpen();
    this.#callables.get(callable);
  }

  /** @internal */
  protected hasRoom(): boolean {
    return this.#isShutdown || this.#broken !== undefined || this.#roomInQueue() > 0;
  }

  /** @internal */
  protected submitTask(callable: unknown, args: unknown[], options: TaskOptions | undefined): Future<unknown> {
    const site = callable instanceof PinnedCallable ? callable.site : undefined;
    return this.#submit(this.#callables.get(callable), args, options, undefined, site).future;
  }

  /** @internal */
  protected streamTask(
    callable: unknown,
    args: unknown[],
    options: TaskOptions | undefined,
  ): AsyncIterableIterator<unknown> {
    this.checkOpen();
    const known = this.#callables.get(callable);
    const reader = new StreamReader(
      {
        submit: (special) => this.#submit(known, args, options, special),
        hasRoom: () => this.hasRoom(),
        ready: () => this.ready(),
      },
      options?.highWaterMark,
    );
    return new ResultStream(reader);
  }

  /** @inheritDoc */
  async create<A extends unknown[], T extends object>(
    classReference: Constructor<A, T>,
    ...args: A
  ): Promise<RemoteObject<T>> {
    const known = this.#callables.get(classReference, true);
    return (await this.#submit(known, args, undefined, 'create').future) as RemoteObject<T>;
  }

  #submit(
    callable: Callable,
    args: unknown[],
    options: TaskOptions | undefined,
    special: Special | undefined,
    site?: Site,
  ): Task {
    this.checkOpen();
    if (this.#options.maxQueueSize !== Infinity && this.#roomInQueue() <= 0) {
      throw new QueueFullError(
        `The queue is full: ${String(this.#options.maxQueueSize)} tasks wait already (maxQueueSize); ` +
          'await ready() before submitting',
      );
    }
    this.#room.use();
    const order = this.#nextOrder++;
    const epoch = this.#ledger.enter();
    const submitted = this.#ledger.age;
    const extra = extraOf(args, options, special, this.#backend.handsOver);
    const task = new Task(callable, args, order, extra, epoch, site, submitted);
    this.#ledger.submitted(task);
    if (options?.signal !== undefined && !this.#limits.attach(task, options.signal)) {
      this.#ledger.cancelled(task);
      this.#close(task);
      markCancelled(task.future);
      this.#ledger.leave(task);
      return task;
    }
    const { queue } = this.#scheduler;
    this.#scheduler.add(task);
    // A lone task goes at once, one for each worker. What is submitted in a row after that goes together, at the end of
    // the turn: workers may be done with one before the next is submitted, and would get each in a message of its own.
    this.#submitsThisTurn++;
    if (
      queue.length === 1 &&
      (this.#submitsThisTurn <= this.#scheduler.lanes.length || callable.estimate === undefined)
    ) {
      this.#scheduler.pump(false);
    }
    if (queue.length > 0 && queue.length % SUBMITS_PER_PUMP === 0) this.#scheduler.pump();
    if (!this.#pumpQueued) this.#queuePump();
    // Last, while a worker may have begun it already: to look where this call comes from takes longer than all the rest.
    this.#siteOf(task);
    return task;
  }

  /** What the queue takes beyond the tasks that the workers can run: `maxQueueSize` counts waiting tasks only. */
  #roomInQueue(): number {
    return this.#options.maxQueueSize + this.slots - this.#ledger.pending;
  }

  /** Where a task was submitted. One without a site fails within that call, which is then still to be seen. */
  #siteOf(task: Task): Site {
    return (task.site ??= this.#sites.note(task.callable, task.submitted));
  }

  /** @throws what it throws at whoever submits a task when it takes none any more @internal */
  checkOpen(): void {
    if (this.#broken !== undefined) throw this.#brokenError();
    if (this.#isShutdown) {
      throw new ExecutorShutdownError('The executor was shut down and takes no more tasks; make a new one');
    }
  }

  #brokenError(): BrokenExecutor {
    const { message, cause } = this.#broken as { message: string; cause: unknown };
    return new this.#brokenClass(message, { cause });
  }

  #queuePump(): void {
    if (this.#pumpQueued) return;
    this.#pumpQueued = true;
    void TURN.then(this.#endTurn);
  }

  readonly #endTurn = () => {
    this.#pumpQueued = false;
    this.#submitsThisTurn = 0;
    this.#callables.endTurn();
    this.#pump();
  };

  #pump(): void {
    if (this.#broken !== undefined) return;
    this.#scheduler.pump();
    this.#workforce.watchProgress();
  }

  /** Lets a worker end when it has ended what it has begun. */
  #retire(runner: WorkerRunner): void {
    runner.retire();
    this.#scheduler.putBack(runner.takeOldest(Infinity));
    if (runner.drained) runner.terminate();
  }

  #startWorker(): WorkerRunner | undefined {
    const { concurrentTasksPerWorker, maxTasksPerWorker } = this.#options;
    const config: RunnerConfig = {
      backend: this.#backend,
      concurrency: concurrentTasksPerWorker,
      maxTasks: maxTasksPerWorker,
      nextNumber: () => (this.#sends = (this.#sends % 0x7fff_ffff) + 1),
      initializer: this.#initializer,
    };
    try {
      return this.#workforce.start(config, {
        ready: (runner) => {
          this.#ledger.workerStarted(runner.name);
          this.#pump();
          this.#workforce.watchIdle();
        },
        initializerFailed: (runner, error) => {
          this.#break('The initializer of the workers failed: mend it, then make a new executor', error);
          runner.terminate();
        },
        timed: (task, began, ended) => {
          this.#onTimed(task, began, ended);
        },
        ended: (runner, endings) => {
          this.#onEnded(runner, endings);
        },
        begun: (task, at) => {
          this.#ledger.started(task);
          this.#limits.start(task, at);
        },
        unpinned: (runner) => {
          this.#endIfThrough(runner);
          this.#workforce.watchIdle();
        },
        exited: (runner, exit) => {
          this.#onExit(runner, exit);
        },
      });
    } catch (error) {
      this.#break('A worker could not be started: see the cause, then make a new executor', error);
      return undefined;
    }
  }

  #onTimed(task: Task, began: number, ended: number): void {
    task.callable.learn(ended - began);
    this.#ledger.timed(task, began, ended);
  }

  #onEnded(runner: WorkerRunner, endings: Endings): void {
    const { failed, tasks, values } = endings;
    if (tasks.length > 0) this.#deaths = 0;
    if (tasks[0]?.special === 'create' && !failed) values[0] = this.#pin(runner, values[0]);
    // The workers first, then whoever waits for the results: that may take long.
    this.#endIfThrough(runner);
    this.#pump();
    this.#settleAll(endings);
    this.#workforce.watchIdle();
  }

  /** Keeps the worker of an object until the object is let go. */
  #pin(runner: WorkerRunner, created: unknown): RemoteObject<unknown> {
    const { object, end } = wrapRemoteObject((created as { port: unknown }).port, () => {
      unpin();
    });
    const unpin = runner.pin(end);
    return object;
  }

  /** Ends a worker that is through with what it was for. */
  #endIfThrough(runner: WorkerRunner): void {
    if (runner.spent || (runner.state === 'ending' && runner.drained)) runner.terminate();
  }

  /** Settles futures. Whoever is told of one may stop others that are on their way here: each ends once, and counts once. */
  #settleAll({ failed, tasks, values }: Endings): void {
    for (let i = 0; i < tasks.length; i++) {
      const task = tasks[i] as Task;
      const value = values[i];
      if (task.future.done()) continue;
      if (failed) {
        addSite(value, this.#siteOf(task));
        this.#fail(task, value);
      } else {
        this.#ledger.completed(task, value);
        this.#close(task);
        succeed(task.future, value);
        this.#ledger.leave(task);
      }
    }
  }

  #fail(task: Task, error: unknown): void {
    if (task.future.done()) return;
    this.#ledger.failed(task, error);
    this.#close(task);
    fail(task.future, error);
    this.#ledger.leave(task);
  }

  /** The bookkeeping at the end of a task, before its future tells anybody. */
  #close(task: Task): void {
    if (task.extra !== undefined) this.#limits.release(task);
    if (!this.#room.empty) this.#room.admit();
    if (this.#closing) this.#endIfDone();
  }

  #onExit(runner: WorkerRunner, { death, expected, begun, loading, unbegun }: RunnerExit): void {
    this.#scheduler.remove(runner);
    this.#ledger.workerEnded(runner.name, expected, death);
    const lost: Task[] = [];
    const again: Task[] = [];
    const spared: Task[] = [];
    for (const task of begun) {
      if (task.future.done()) continue;
      // Its function has not been called, so the error is most likely another's. If it is its module's, it comes again.
      if (loading.has(task) && !task.moved && !this.#spared.has(task)) spared.push(task);
      // A reader that has had items cannot give them back.
      else if (!task.moved && !isOver(task) && task.attempt <= (task.options?.retries ?? 0)) {
        again.push(task);
      } else lost.push(task);
    }
    for (const task of again) {
      task.attempt++;
      markRunning(task.future);
      this.#limits.pause(task);
    }
    for (const task of spared) {
      this.#spared.add(task);
      markRunning(task.future);
    }
    // Where no memory is shared, what was sent and not read counted as begun, and its time ran.
    for (const task of [...spared, ...unbegun]) this.#limits.pause(task);
    again.push(...spared);
    // What was moved to the worker is gone with it.
    for (const task of unbegun) if (!task.future.done()) (task.moved ? lost : again).push(task);
    this.#scheduler.putBack(again);
    if (!expected) this.#countDeath(runner, death, begun.length > spared.length);
    if (this.#broken === undefined) this.#pump();
    else this.#failQueued(() => this.#brokenError());
    for (const task of lost) {
      const error =
        this.#broken !== undefined && !begun.includes(task)
          ? this.#brokenError()
          : new WorkerDiedError(
              `The worker ${runner.name} died${describeDeath(death)} before it had finished ${task.callable.name}; ` +
                'the executor replaces the worker, and with({ retries }) tries such tasks again',
              death,
            );
      addSite(error, this.#siteOf(task));
      this.#fail(task, error);
    }
    this.#endIfDone();
    this.#workforce.forget(runner);
  }

  #countDeath(runner: WorkerRunner, death: WorkerDeath, charged: boolean): void {
    if (!charged && death.cause !== undefined) this.#reportWorkerError(death.cause);
    this.#deaths++;
    if (this.#deaths < DEATHS_THAT_BREAK) return;
    this.#break(
      `The workers died ${String(DEATHS_THAT_BREAK)} times in a row and nothing was finished between; ` +
        'mend what ends them, then make a new executor',
      death.cause ?? new WorkerDiedError(`The worker ${runner.name} died${describeDeath(death)}`, death),
    );
  }

  #reportWorkerError(error: unknown): void {
    const { onWorkerError } = this.#options;
    try {
      if (onWorkerError !== undefined) onWorkerError(error);
      else warn('WorkerError', `An error in a worker belongs to no task: ${describeError(error)}`);
    } catch (thrown) {
      reportCallbackError(thrown, 'onWorkerError');
    }
  }

  /** Nothing more can be run: what no worker has begun fails, what runs may end. */
  #break(message: string, cause: unknown): void {
    if (this.#broken !== undefined) return;
    this.#broken = { message, cause };
    this.#scheduler.recallAll();
    this.#failQueued(() => this.#brokenError());
    this.#room.release();
    this.#endIfDone();
  }

  /** Fails what is queued, each task with an error of its own. */
  #failQueued(error: () => BrokenExecutor): void {
    const { queue } = this.#scheduler;
    for (let task = queue.take(); task !== undefined; task = queue.take()) {
      const reason = error();
      addSite(reason, this.#siteOf(task));
      this.#fail(task, reason);
    }
  }

  #cancelPending(): void {
    this.#scheduler.recallAll();
    for (const task of [...this.#scheduler.queue]) task.future.cancel();
    for (const runner of this.#workforce) for (const task of runner.unbegunTasks()) task.future.cancel();
  }

  get #closing(): boolean {
    return this.#isShutdown || this.#broken !== undefined;
  }

  #endIfDone(): void {
    if (!this.#closing) return;
    if (this.#ledger.pending === 0) this.#workforce.end();
    else if (this.#scheduler.queue.length === 0) this.#workforce.endIdle();
  }

  /** Stops a task that has begun: its future fails at once, and its worker ends as soon as no other task runs in it. */
  #stop(task: Task, error: unknown): void {
    if (task.future.done()) return;
    const { runner } = task;
    if (runner === undefined) {
      // It waits for its next attempt.
      if (this.#scheduler.queue.has(task)) this.#scheduler.queue.remove(task);
      this.#fail(task, error);
      return;
    }
    runner.abandon(task);
    runner.retire();
    this.#scheduler.putBack(runner.takeOldest(Infinity));
    if (runner.begunTasks().length === 0) {
      runner.terminate();
    } else {
      runner.abort(task, error);
      this.#vitalSigns.watch(runner);
    }
    this.#pump();
    this.#fail(task, error);
  }
}

function isOver({ special }: Task): boolean {
  return typeof special === 'object' && special.isOver;
}

function describeDeath({ exitCode, signal }: WorkerDeath): string {
  if (signal !== undefined) return ` by ${signal}`;
  return exitCode === undefined ? '' : ` with exit code ${String(exitCode)}`;
}

function describeError(error: unknown): string {
  if (error instanceof Error && error.stack !== undefined) {
    // That of Firefox has places only.
    return error.stack.includes(error.message) ? error.stack : `${String(error)}\n${error.stack}`;
  }
  try {
    return String(error);
  } catch {
    return Object.prototype.toString.call(error);
  }
}
