import { now, portsTell } from '#host';
import { sharedStore, unpack } from '#handlers';
import { decodeValue, wrapGuest } from '../comlink.js';
import { type WorkerDeath, WorkerDiedError } from '../errors.js';
import { keepExamples } from '../future.js';
import { setOwnTimeout, unref } from '../timeouts.js';
import { HostTable } from '../wire/claim-table.js';
import { decodeError, type WireError } from '../wire/errors.js';
import {
  ABORT,
  ASK,
  BEGUN,
  BELL,
  CREDIT,
  ENDED,
  FAILURE,
  HAS,
  INITIALIZER_FAILED,
  ITEMS,
  LINGERS,
  LOADING,
  PING,
  PONG,
  READY,
  RESULT,
  RETURN,
  type RichDetails,
  UNREADABLE,
} from '../wire/protocol.js';
import { keepStreams } from '../wire/scope.js';
import { cloneError } from '../wire/unclonable.js';
import type { Backend, Connection } from './backend.js';
import type { Callable } from './callables.js';
import { InFlight } from './in-flight.js';
import { encodeInitializer, type InitialCall, unsentInitializer } from './initial-call.js';
import { keepStream, type KeptStream, type StreamKeeper } from './kept-streams.js';
import { Outbox, type Refusals, tellsBegin } from './outbox.js';
import type { StreamReader } from './result-stream.js';
import type { Task } from './task.js';

/** Tasks that have ended alike: well, or badly. Two arrays and not an object a task: there may be thousands. */
export interface Endings {
  failed: boolean;
  tasks: Task[];
  /** Their results, or what they threw. */
  values: unknown[];
}

keepExamples({ failed: false, tasks: [], values: [] } satisfies Endings);

/** What a runner tells the pool. */
export interface RunnerEvents {
  /** The initializer has ended well. */
  ready(runner: WorkerRunner): void;
  initializerFailed(runner: WorkerRunner, error: unknown): void;
  /** How long a task that has just ended waited and ran, in ms on the shared clock. */
  timed(task: Task, began: number, ended: number): void;
  /** Tasks have ended. Their slots are free already. */
  ended(runner: WorkerRunner, endings: Endings): void;
  /** A task that is under a time limit, or that somebody follows, has begun. */
  begun(task: Task, at: number): void;
  /** Something that it stayed for is there no more: an object, or a stream. */
  unpinned(runner: WorkerRunner): void;
  /** The worker has ended; nothing is in flight to it any more. */
  exited(runner: WorkerRunner, exit: RunnerExit): void;
}

/** How a worker has ended. */
export interface RunnerExit {
  death: WorkerDeath;
  /** The pool had wanted it to end. */
  expected: boolean;
  /** What it had begun and not ended, in the order of submission. */
  begun: Task[];
  /** Those of them that had only begun to load their modules when it threw something that nobody caught. */
  loading: ReadonlySet<Task>;
  /** What it had been sent and not begun, in the order of submission. */
  unbegun: Task[];
}

/** What a runner needs to know of its pool. */
export interface RunnerConfig {
  backend: Backend;
  concurrency: number;
  maxTasks: number;
  /** Gives a positive 32-bit integer that no other sending of the pool has. */
  nextNumber: () => number;
  initializer: InitialCall | undefined;
}

/**
 * ms after which results are looked for that a worker has not told of: longer than it keeps silent, and timers come up to a
 * millisecond too soon.
 */
const LOOK_AFTER_MS = 2;
/** The same for one that keeps silent for longer, because it has much to do. */
const LOOK_AFTER_MUCH_MS = 5;

/**
 * One worker's life, seen from the host: starting, ready, ending, ended. It sends tasks and tells how they end; it decides
 * nothing.
 */
export class WorkerRunner {
  /** Of each object that lives in it, what is called when the worker has ended where message ports do not tell. */
  readonly #objects = new Set<() => void>();
  /** Of what its tasks gave, what is still to be read or written here. */
  readonly #streams = new Set<KeptStream>();
  /** Those that somebody waits for. */
  readonly #awaited = new Set<KeptStream>();
  readonly name: string;
  readonly capacity: number;
  state: 'starting' | 'ready' | 'ending' | 'ended' = 'starting';
  /** When it became idle, in ms on the shared clock. */
  idleSince = now();

  readonly #events: RunnerEvents;
  readonly #connection: Connection;
  /** Held as long as the worker lives, and not longer: Comlink holds on to the endpoint, and thereby to this, until it goes. */
  #serve: ReturnType<typeof wrapGuest> | undefined;
  readonly #table: HostTable | undefined;
  readonly #maxTasks: number;
  readonly #outbox: Outbox;
  readonly #inFlight: InFlight;
  /** Tasks whose futures ended without the worker: they hold their slots until the worker is through with them. */
  readonly #abandoned = new Set<Task>();
  readonly #resting = new Set<Task>();
  /** For each message that could not be read, and about which the worker was asked: what it had begun. */
  readonly #suspects: { task: Task; number: number }[][] = [];
  /** Begun tasks whose functions have not been called. */
  readonly #loading = new Set<Task>();
  #lastError: unknown;
  #terminating = false;
  #pings = 0;
  /** It will be looked for results in a moment. */
  #looking = false;
  #pong: ((n: number) => void) | undefined;

  constructor(name: string, config: RunnerConfig, events: RunnerEvents) {
    this.name = name;
    this.capacity = config.concurrency;
    this.#events = events;
    this.#maxTasks = config.maxTasks;
    this.#table = config.backend.sharedMemory ? new HostTable(sharedStore) : undefined;
    this.#inFlight = new InFlight(this.#table, this.capacity, config.nextNumber);
    this.#connection = config.backend.start(name, {
      message: (data) => {
        this.#receive(data);
      },
      unreadable: () => {
        this.#askForLost();
      },
      error: (error) => {
        this.#lastError = error;
      },
      exit: (death, read) => {
        this.#exit(death, read);
      },
    });
    this.#outbox = new Outbox(this.#connection, this.#table !== undefined);
    this.#serve = wrapGuest(this.#connection.endpoint);
    this.#begin(config).catch((error: unknown) => {
      events.initializerFailed(this, error);
    });
    // Last, because listening and posting count as interest in the worker. Where tasks are not sent before it is ready, a
    // starting worker may be what they wait for.
    if (this.#table !== undefined) this.#connection.unref();
  }

  /** Tells the worker what it is for, by the one call that lasts. */
  async #begin({ concurrency, initializer: call }: RunnerConfig): Promise<void> {
    const { initializer, moved } = call === undefined ? { initializer: undefined, moved: [] } : encodeInitializer(call);
    try {
      await this.#serve?.(
        {
          port: this.#connection.guestPort,
          memory: this.#table?.memory,
          worker: this.name,
          concurrency,
          initializer,
        },
        moved,
      );
    } catch (error) {
      throw unsentInitializer(initializer, error, this.#connection.clone);
    }
  }

  /** Whether tasks may be sent to it at all. */
  get accepting(): boolean {
    const isOpen = (this.state === 'ready' || this.state === 'starting') && this.#connection.lost !== true;
    return isOpen && this.#inFlight.sent < this.#maxTasks;
  }

  /** True when it has had all the tasks that it may have, and none of them is left. */
  get spent(): boolean {
    return !this.pinned && this.#inFlight.sent >= this.#maxTasks && this.idle;
  }

  /** Tasks that it can be sent before it has no slot left. */
  get room(): number {
    const { room, sent } = this.#inFlight;
    // Without shared memory it is sent only what it can begin at once, so nothing before it is ready.
    return Math.min(this.#table === undefined && this.state === 'starting' ? 0 : room, this.#maxTasks - sent);
  }

  /** Tasks sent that the worker has not begun. */
  get unbegun(): number {
    return this.#inFlight.unbegun;
  }

  /** Tasks that the worker has begun and not ended. */
  get active(): number {
    return this.#inFlight.active;
  }

  /** True when nothing is in flight to it, as far as the host has heard. */
  get idle(): boolean {
    return this.#inFlight.size === 0;
  }

  /**
   * True when nothing is left that its end waits for: no task in flight whose future waits, and no object that lives in it.
   * A task that was stopped ends with it, whatever else lives there.
   */
  get drained(): boolean {
    return this.#inFlight.size === this.#abandoned.size && (!this.pinned || this.#abandoned.size > 0);
  }

  /** How many tasks it has begun since its start. */
  get progress(): number {
    return this.#inFlight.progress;
  }

  isBegun(task: Task): boolean {
    return this.#inFlight.isBegun(task);
  }

  /** Begun tasks whose futures have not ended yet. */
  begunTasks(): Task[] {
    return this.#inFlight.begun().filter((task) => !this.#abandoned.has(task));
  }

  /** Tasks that it has been sent and not begun. */
  unbegunTasks(): Task[] {
    return this.#inFlight.ahead();
  }

  /**
   * Sends tasks, in batches.
   *
   * @returns those that did not go because something in them cannot be cloned
   */
  send(tasks: readonly Task[]): Endings {
    if (this.#inFlight.size === this.#resting.size) this.#connection.ref();
    for (const task of tasks) {
      this.#inFlight.add(task);
      task.runner = this;
    }
    const refused = this.#settleRefused(this.#outbox.send(tasks));
    this.#tellBegun(tasks);
    this.#noteIdle();
    return refused;
  }

  /** Takes a task back. @returns false when the worker has begun it */
  takeBack(task: Task): boolean {
    if (!this.#inFlight.reclaim(task)) return false;
    this.#withdraw(task);
    this.#noteIdle();
    return true;
  }

  /** The oldest task that it has not begun. */
  get oldest(): Task | undefined {
    return this.#inFlight.oldest;
  }

  /** About how long it goes on with what it runs before it has a slot for more, in ms. */
  get busyFor(): number {
    return this.#inFlight.busyFor;
  }

  /** Takes back the oldest of the tasks that it has not begun, at most `count`. What was moved there has to stay. */
  takeOldest(count: number): Task[] {
    return this.#takeBackAll(this.#inFlight.oldestOf(count));
  }

  /** Takes back what it has not begun and is of lower priority. */
  takeLower(priority: number): Task[] {
    return this.#takeBackAll(this.#inFlight.lowerThan(priority));
  }

  /** The youngest first: the worker begins the oldest meanwhile, and would begin those behind the ones that it finds gone. */
  #takeBackAll(tasks: Task[]): Task[] {
    return tasks
      .reverse()
      .filter((task) => this.takeBack(task))
      .reverse();
  }

  /** The future of this task has ended without the worker; the task may go on there until the worker ends. */
  abandon(task: Task): void {
    if (task.runner === this) this.#abandoned.add(task);
  }

  /** Whether tasks go on in it whose futures have ended. */
  get abandons(): boolean {
    return this.state !== 'ended' && this.#abandoned.size > 0;
  }

  /** Fires the task's own signal. */
  abort(task: Task, reason: unknown): void {
    try {
      this.#outbox.post([ABORT, task.number, reason]);
    } catch {
      this.#outbox.post([ABORT, task.number, undefined]);
    }
  }

  /** Asks the thread for a sign of life; `answered` is called when it comes. */
  ping(answered: () => void): void {
    const n = ++this.#pings;
    this.#pong = (answer) => {
      if (answer === n) answered();
    };
    this.#outbox.post([PING, n]);
  }

  /** The reader of a stream wants more items. */
  giveCredit(task: Task, items: number, sent: unknown[]): void {
    this.#outbox.post([CREDIT, task.number, items, ...sent]);
  }

  /** The reader of a stream wants no more. */
  endStream(task: Task): void {
    this.#outbox.post([RETURN, task.number]);
  }

  /** Whether a task in flight waits for its reader, and is therefore no reason to keep the process alive. */
  setResting(task: Task, resting: boolean): void {
    if (resting === this.#resting.has(task)) return;
    if (resting) this.#resting.add(task);
    else this.#resting.delete(task);
    this.#noteRef();
  }

  /**
   * Stays for an object that lives in it.
   *
   * @param end - is called when the worker has ended where message ports do not tell
   * @returns what is to be called when the object is let go
   */
  pin(end: () => void): () => void {
    this.#objects.add(end);
    return () => {
      if (this.#objects.delete(end)) this.#noteUnpinned();
    };
  }

  /** Whether objects live in it, or streams are read or written that were made there. */
  get pinned(): boolean {
    return this.#objects.size > 0 || this.serves;
  }

  /** Whether streams are read or written that were made in it. */
  get serves(): boolean {
    return this.#streams.size > 0;
  }

  /** Whether it is wanted no more, and only stays for such streams. */
  get lingers(): boolean {
    return this.state === 'ending' && !this.#terminating && this.idle && this.serves;
  }

  readonly #keeper: StreamKeeper = {
    keep: (stream) => {
      this.#streams.add(stream);
    },
    setAwaited: (stream, awaited) => {
      if (awaited) this.#awaited.add(stream);
      else this.#awaited.delete(stream);
      this.#noteRef();
    },
    letGo: (stream) => {
      if (this.#streams.delete(stream)) this.#noteUnpinned();
    },
  };

  readonly #keepStream = <S extends ReadableStream | WritableStream>(stream: S): S => keepStream(stream, this.#keeper);

  #noteUnpinned(): void {
    if (!this.pinned) this.idleSince = now();
    this.#events.unpinned(this);
  }

  /** Has the worker forget a callable that the pool has forgotten, unless it has tasks that call it. */
  forget(callable: Callable): void {
    // The message would overtake the tasks that wait there; the last of them asks again.
    if (this.state === 'ended') return;
    for (const task of this.#inFlight) if (task.callable === callable) return;
    this.#outbox.forget(callable);
  }

  /** Takes no more tasks. */
  retire(): void {
    if (this.state !== 'ended') this.state = 'ending';
  }

  /** Ends the worker at once; one that is idle, in order. */
  terminate(): void {
    if (this.state === 'ended' || this.#terminating) return;
    this.#beginEnd();
    if (this.idle) this.#connection.end();
    else this.#connection.terminate();
  }

  /** Ends the worker at once, whether or not it could end in order. */
  kill(): void {
    if (this.state === 'ended') return;
    this.#beginEnd();
    this.#connection.terminate();
  }

  #beginEnd(): void {
    this.#terminating = true;
    this.state = 'ending';
    this.#connection.ref();
  }

  /**
   * A message of the worker cannot be read here. Which task it told of is found out by asking the worker what it still has:
   * a task that it had begun by now, and has not then, has ended with that message.
   */
  #askForLost(): void {
    const begun = this.#inFlight.begun();
    if (begun.some(({ special }) => typeof special === 'object')) {
      // It may have been an item of a stream, which goes on without it.
      this.#lastError = new DOMException('A message of the worker cannot be read here', 'DataCloneError');
      this.#connection.terminate();
      return;
    }
    this.#suspects.push(begun.map((task) => ({ task, number: task.number })));
    this.#outbox.post([ASK]);
  }

  #failLost(has: ReadonlySet<unknown>): void {
    // What ended before the answer lies in the ring.
    this.#readRing();
    const lost = (this.#suspects.shift() ?? [])
      .filter(({ task, number }) => this.#inFlight.find(task.slot, number) === task && !has.has(number))
      .map(({ task }) => task);
    for (const task of lost) this.#release(task);
    const values = lost.map(({ callable }) =>
      cloneError(`The result of ${callable.name} cannot be read on this side: it`, undefined, undefined),
    );
    this.#tell({ failed: true, tasks: lost, values });
  }

  /** Tasks whose message the worker cannot read: a lone one fails; of several, each is sent alone to find the one. */
  #onUnreadable(count: number): void {
    const tasks = [...this.#inFlight].filter(({ slot }) => this.#outbox.wentIn(slot, count));
    const [first] = tasks;
    if (tasks.length === 1 && first !== undefined) {
      const error = cloneError(
        `An argument of ${first.callable.name} cannot be read in the worker: it`,
        undefined,
        undefined,
      );
      this.#withdraw(first);
      this.#tell({ failed: true, tasks: [first], values: [error] });
      return;
    }
    const refused = this.#settleRefused(this.#outbox.sendSingly(tasks));
    this.#tellBegun(tasks);
    this.#tell(refused);
  }

  /** What could not be sent is in flight no more. */
  #settleRefused({ tasks, errors }: Refusals): Endings {
    for (const task of tasks) this.#withdraw(task);
    return { failed: true, tasks, values: errors };
  }

  /** Without shared memory what was sent counts as begun, and nobody tells of it. */
  #tellBegun(tasks: readonly Task[]): void {
    if (this.#table !== undefined) return;
    for (const task of tasks) if (task.runner === this && tellsBegin(task)) this.#events.begun(task, 0);
  }

  #release(task: Task): void {
    this.#inFlight.remove(task);
    if (this.#resting.size > 0) this.#resting.delete(task);
    if (this.#loading.size > 0) this.#loading.delete(task);
    task.runner = undefined;
    if (task.callable.forgotten) this.forget(task.callable);
  }

  /** Lets go of a task that the worker has not had after all. */
  #withdraw(task: Task): void {
    this.#release(task);
    this.#inFlight.sent--;
  }

  #noteIdle(): void {
    if (this.idle) this.idleSince = now();
    if (this.#inFlight.size === this.#resting.size) this.#noteRef();
  }

  #noteRef(): void {
    if (this.#terminating || this.state === 'ended') return;
    if (this.#inFlight.size > this.#resting.size || this.#awaited.size > 0) this.#connection.ref();
    else this.#connection.unref();
  }

  #receive(data: unknown): void {
    if (data === BELL) {
      this.#readRing();
      return;
    }
    const message = data as unknown[];
    switch (message[0]) {
      case RESULT:
      case FAILURE: {
        const task = this.#inFlight.find(message[1], message[2]);
        if (task === undefined) return;
        // What ended before it lies in the ring.
        if (this.#table !== undefined && this.#table.readable > 0) this.#readRing();
        this.#endOne(task, message);
        break;
      }
      case ENDED:
        this.#endQuietly(message as number[]);
        break;
      case BEGUN: {
        const task = this.#inFlight.find(message[1], message[2]);
        if (task !== undefined) this.#events.begun(task, message[3] as number);
        break;
      }
      case UNREADABLE:
        this.#onUnreadable(message[1] as number);
        break;
      case HAS:
        this.#failLost(new Set(message.slice(1)));
        break;
      case LOADING: {
        const task = this.#inFlight.find(message[1], message[2]);
        if (task === undefined) break;
        if (message[3] === true) this.#loading.add(task);
        else this.#loading.delete(task);
        break;
      }
      case ITEMS: {
        const task = this.#inFlight.find(message[1], message[2]);
        if (typeof task?.special === 'object') this.#receiveItems(task, message);
        break;
      }
      case READY:
        if (this.state === 'starting') this.state = 'ready';
        this.#events.ready(this);
        this.#noteIdle();
        break;
      case INITIALIZER_FAILED:
        this.#events.initializerFailed(this, decodeError(message[1] as WireError));
        break;
      case LINGERS:
        this.#connection.letLinger?.();
        break;
      case PONG:
        this.#pong?.(message[1] as number);
        break;
      default:
        throw new Error(`Unknown message of a worker: ${String(message[0])}`);
    }
  }

  #receiveItems(task: Task, message: unknown[]): void {
    const items = message[3] as unknown[];
    const reader = task.special as StreamReader;
    const returned = message[5] as number | undefined;
    if (returned !== undefined && returned > 0) reader.takeBack(returned);
    let position = 0;
    try {
      for (const [at, handler] of message[4] as RichDetails['handled']) {
        position = at;
        items[at] = keepStreams(this.#keepStream, () => decodeValue(handler, items[at]));
      }
      reader.receive(items);
    } catch (error) {
      // It ends the stream at its place; the generator is told, and holds its slot until it has ended.
      reader.receive(items.slice(0, position));
      this.abandon(task);
      this.endStream(task);
      this.#events.ended(this, { failed: true, tasks: [task], values: [error] });
    }
  }

  #endOne(task: Task, message: unknown[]): void {
    const [kind, , , began, ended, value, handler] = message;
    const endings: Endings = { failed: kind === FAILURE, tasks: [task], values: [value] };
    try {
      if (kind === FAILURE) endings.values[0] = decodeError(value as WireError);
      else if (handler !== undefined && !this.#abandoned.has(task)) {
        endings.values[0] = keepStreams(this.#keepStream, () => decodeValue(handler as string, value));
      }
    } catch (error) {
      endings.failed = true;
      endings.values[0] = error;
    }
    this.#release(task);
    this.#events.timed(task, began as number, ended as number);
    this.#tell(endings);
  }

  #endQuietly(message: readonly number[]): void {
    const endings: Endings = { failed: false, tasks: [], values: [] };
    for (let at = 1; at < message.length; at += 4) {
      const task = this.#inFlight.find(message[at], message[at + 1]);
      if (task === undefined) continue;
      this.#release(task);
      this.#events.timed(task, message[at + 2] as number, message[at + 3] as number);
      endings.tasks.push(task);
      endings.values.push(undefined);
    }
    this.#tell(endings);
  }

  #readRing(): void {
    const table = this.#table;
    if (table === undefined) return;
    const isHeld = table.lowerBell();
    const count = table.readable;
    const endings: Endings = { failed: false, tasks: [], values: [] };
    const unreadable: Endings = { failed: true, tasks: [], values: [] };
    for (let i = 0; i < count; i++) {
      const { slot, value, packed, began, ended } = table.read();
      const task = this.#inFlight.at(slot);
      if (task === undefined) continue;
      this.#release(task);
      this.#events.timed(task, began, ended);
      try {
        endings.values.push(packed ? unpack(value as Uint8Array) : value);
        endings.tasks.push(task);
      } catch (error) {
        unreadable.tasks.push(task);
        unreadable.values.push(error);
      }
    }
    this.#tell(endings);
    if (unreadable.tasks.length > 0) this.#tell(unreadable);
    if (isHeld) {
      // Not before those who waited for these results have had their turn: the guest's thread may want the same core.
      void Promise.resolve().then(() => {
        table.release();
      });
    }
    // It rings seldom while it is busy: what it ends next it may not tell of before a slow task has ended.
    if (count > 0 && !this.idle && this.state !== 'ended') this.#lookLater();
  }

  #lookLater(): void {
    this.#table?.promiseLook();
    if (this.#looking) return;
    this.#looking = true;
    const msAhead = this.unbegun * (this.oldest?.callable.estimate ?? 0);
    unref(
      setOwnTimeout(
        () => {
          this.#looking = false;
          const isHeld = this.#table?.lowerBell() === true;
          if ((this.#table?.readable ?? 0) > 0) this.#readRing();
          if (isHeld) this.#table?.release();
        },
        msAhead > LOOK_AFTER_MS ? LOOK_AFTER_MUCH_MS : LOOK_AFTER_MS,
      ),
    );
  }

  #tell(endings: Endings): void {
    this.#noteIdle();
    if (this.#abandoned.size > 0) {
      const { tasks, values } = endings;
      endings.values = values.filter((_value, i) => !this.#abandoned.has(tasks[i] as Task));
      endings.tasks = tasks.filter((task) => !this.#abandoned.delete(task));
    }
    this.#events.ended(this, endings);
  }

  #exit({ cause = this.#lastError, ...rest }: WorkerDeath, read = Infinity): void {
    if (this.state === 'ended') return;
    const death = { ...rest, cause };
    this.#connection.drain();
    this.#readRing();
    const expected = this.state === 'ending';
    this.state = 'ended';
    this.#serve = undefined;
    const begun: Task[] = [];
    const unbegun: Task[] = [];
    for (const task of this.#inFlight) {
      if (this.#abandoned.has(task)) continue;
      // Begun for good, or taken back for good.
      const isBegun = !this.#inFlight.reclaim(task) && this.#outbox.wasRead(task.slot, read);
      (isBegun ? begun : unbegun).push(task);
    }
    const loading = new Set(this.#lastError === undefined ? [] : this.#loading);
    this.#abandoned.clear();
    for (const task of [...begun, ...unbegun]) this.#release(task);
    this.#endWhatLived(death);
    const byOrder = (a: Task, b: Task) => a.order - b.order;
    this.#events.exited(this, {
      death,
      expected,
      begun: begun.sort(byOrder),
      loading,
      unbegun: unbegun.sort(byOrder),
    });
  }

  /** The objects and streams in it are gone. */
  #endWhatLived(death: WorkerDeath): void {
    if (!portsTell()) for (const end of [...this.#objects]) end();
    if (!this.serves) return;
    // What it had sent of them before its end comes first.
    setOwnTimeout(() => {
      for (const stream of [...this.#streams]) {
        stream.fail(new WorkerDiedError(`The worker ${this.name} ended before this stream did`, death));
      }
    }, 0);
  }
}
