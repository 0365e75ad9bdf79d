import { endGuest, now } from '#guest';
import { pack, sharedStore } from '#handlers';
import { decodeValue, discardValue, encodeValue, exposeObject, transfer } from '../comlink.js';
import { Fifo } from '../fifo.js';
import { GuestTable, tagOf } from '../wire/claim-table.js';
import { encodeError } from '../wire/errors.js';
import { type Disposer, NothingToDo } from '../wire/scope.js';
import {
  ABORT,
  ASK,
  BEGUN,
  BELL,
  CREDIT,
  DEFINE,
  END,
  type Definition,
  FAILURE,
  FORGET,
  HAS,
  INITIALIZER_FAILED,
  LOADING,
  PING,
  PONG,
  READY,
  RESULT,
  RETURN,
  RICH,
  type RichDetails,
  type ServeConfig,
  TASKS,
  UNREADABLE,
  unpackRich,
} from '../wire/protocol.js';
import { describe } from '../options.js';
import { cloneError, findUnclonable } from '../wire/unclonable.js';
import { explainReferenceError, GuestCallable } from './callables.js';
import { isInTask, setCurrent } from './current-task.js';
import { encodeFailure } from './failure.js';
import { generatorOf, GuestStream } from './stream.js';

type Call = (...args: unknown[]) => unknown;

/**
 * ms between two bells while there is more to do: each wakes the host, which costs more than most tasks. The host looks by
 * itself when that time has passed after a bell, so that no result waits for a slow task that follows it.
 */
const QUIET_MS = 1;
/** The same while more work than `QUIET_MS` lies here: the host need not send any soon. */
const QUIET_AHEAD_MS = 4;

/**
 * A task that may hold the thread for so many ms is not begun before the host has seen the results that are there, or has
 * had a moment for it. With as many busy threads as cores, the system lets the host's thread run only when one of them
 * rests, or after some milliseconds: meanwhile the host would neither see results nor send tasks to others.
 */
const LONG_MS = 5;
/** ms of that moment: enough for the host, and little beside such a task. */
const MOMENT_MS = 0.2;

/** Results that are not even tried to store after one that was too large. */
const UNPACKED_AFTER_MISFIT = 32;

/** What is out of the ordinary about a task. */
type Meta = Pick<RichDetails, 'id' | 'attempt' | 'how' | 'adapts'>;

const sentAgain = (id: unknown): Meta => ({ id: id as number, attempt: 1, how: 'call', adapts: false });

/** The port to the host, seen from a guest. */
export interface GuestPort {
  postMessage(message: unknown, transfer?: readonly unknown[]): void;
  /** Tells of a task that has ended and gave nothing, with others that end in the same turn of the event loop. */
  postEnd?(slot: number, number: number, began: number, ended: number): void;
  /** Whether much of what was posted has not left yet; where it always has, there is no such thing. */
  isCongested?(): boolean;
  /** Resolves when it has left. */
  whenClear?(): Promise<void>;
  /** Throws for what it cannot send although structured cloning can. */
  clone?: (value: unknown) => unknown;
}

/**
 * Runs the tasks that arrive on the port, in their order, as many at a time as configured. A task is claimed right before
 * its function is called; one that the host has taken back is passed over.
 */
export class TaskRunner {
  readonly #port: GuestPort;
  readonly #table: GuestTable | undefined;
  readonly #concurrency: number;
  readonly #exposed: object;
  readonly #callables = new Map<number, GuestCallable>();
  readonly #messages = new Fifo<unknown[]>();
  // Kept for the few tasks that have one, by number.
  readonly #signals = new Map<number, AbortController>();
  /** Tasks that wait for their modules. */
  readonly #loading = new Set<number>();
  /** Tasks whose functions have returned promises that are pending. */
  readonly #running = new Set<number>();
  readonly #streams = new Map<number, GuestStream>();
  /** Streams that nobody reads any more, and that are not there yet. */
  readonly #endedEarly = new Set<number>();
  readonly #disposers = new Map<number, Disposer[]>();
  /** Tasks of which nobody wants what they give, and whose end may be told late. */
  readonly #quiet = new Set<number>();
  readonly #current: Parameters<typeof setCurrent>[0] & object;
  /** Messages of the host so far. */
  #received = 0;
  #active = 0;
  #ready = false;
  #looping = false;
  /** For the port to be clear. */
  #waiting = false;
  /** When the last task ended or the loop began: when the next one begins. */
  #clock = 0;
  /** When the host was rung last. */
  #rang = -Infinity;
  /** Results lie in the ring of which the host was not told. */
  #untold = false;

  // The batch being worked through: where its next task lies, and how many follow under the same callable.
  #batch: unknown[] = [];
  #at = 0;
  #left = 0;
  #argc = 0;
  /** 1 when each entry holds the task's id. */
  #withId: 0 | 1 = 0;
  #callable: GuestCallable | undefined;

  /** Whether no task runs: those in the works wait for their modules. */
  readonly #isAlone = () => this.#active === this.#loading.size && !isInTask();

  constructor(port: GuestPort, config: ServeConfig, exposed: object) {
    this.#port = port;
    this.#table = config.memory === undefined ? undefined : new GuestTable(config.memory, sharedStore);
    this.#concurrency = config.concurrency;
    this.#exposed = exposed;
    this.#current = {
      number: 0,
      id: 0,
      attempt: 1,
      worker: config.worker,
      signal: (number) => this.#signalOf(number),
    };
  }

  /** Runs the initializer, if there is one, then whatever has arrived. */
  async start(initializer: ServeConfig['initializer']): Promise<void> {
    try {
      if (initializer !== undefined) {
        const callable = new GuestCallable(initializer.definition, this.#exposed);
        try {
          const { args, handled } = initializer;
          for (const [position, handler] of handled) args[position] = decodeValue(handler, args[position]);
          await (
            await callable.load(() => true)
          )(...args);
        } catch (error) {
          explainReferenceError(error, callable);
          throw error;
        }
      }
    } catch (error) {
      this.#port.postMessage([INITIALIZER_FAILED, encodeError(error)]);
      return;
    }
    this.#ready = true;
    this.#port.postMessage([READY]);
    this.#loop();
  }

  /** A message of the host cannot be read here: it knows which tasks were in it. */
  receiveUnreadable(): void {
    this.#received++;
    this.#port.postMessage([UNREADABLE, this.#received]);
  }

  /** Takes a message of the host. */
  receive(message: unknown[]): void {
    this.#received++;
    switch (message[0]) {
      case TASKS:
        this.#messages.push(message);
        this.#loop();
        break;
      case RICH:
        this.#messages.push(unpackRich(message));
        this.#loop();
        break;
      case DEFINE:
        this.#callables.set(message[1] as number, new GuestCallable(message[2] as Definition, this.#exposed));
        break;
      case FORGET:
        this.#callables.delete(message[1] as number);
        break;
      case ABORT:
        this.#signals.get(message[1] as number)?.abort(message[2]);
        this.#loading.delete(message[1] as number);
        this.#forget(message[1] as number, true);
        break;
      case CREDIT:
        this.#streams.get(message[1] as number)?.addCredit(message[2] as number, message.slice(3));
        break;
      case RETURN:
        this.#endStream(message[1] as number);
        break;
      case END:
        endGuest();
        break;
      case PING:
        this.#port.postMessage([PONG, message[1]]);
        break;
      case ASK:
        // Without claims, what waits here counts as begun there: the answer comes when it has been.
        if (this.#table === undefined) this.#messages.push(message);
        else this.#tellRunning();
        this.#loop();
        break;
      default:
        throw new Error(`Unknown message of the host: ${String(message[0])}`);
    }
  }

  #loop(): void {
    if (!this.#ready || this.#looping) return;
    this.#looping = true;
    this.#clock = now();
    while (this.#active < this.#concurrency && !this.#waitsForPort() && (this.#left > 0 || this.#next())) {
      const batch = this.#batch;
      const at = this.#at;
      const number = batch[at] as number;
      const slot = batch[at + 1] as number;
      this.#left--;
      const argc = this.#argc;
      const values = at + 2 + this.#withId;
      this.#at = values + argc;
      if (this.#table?.claim(slot, number) === false) {
        if (batch[0] === RICH) discardAll(batch);
        continue;
      }
      const callable = this.#callable as GuestCallable;
      if (callable.held >= QUIET_MS || callable.peak >= QUIET_MS) this.#showResults(callable.held);
      if (batch[0] === RICH) this.#startRich(batch, slot, number, callable, this.#clock);
      else
        this.#start(
          callable,
          batch,
          values,
          argc,
          slot,
          number,
          this.#clock,
          this.#withId === 1 ? sentAgain(batch[at + 2]) : undefined,
        );
    }
    this.#looping = false;
    if (this.#untold) this.#ring(this.#clock);
  }

  /** Whether what was posted has yet to leave this process: a task that blocks it, or ends it, would hold or lose that. */
  #waitsForPort(): boolean {
    if (this.#port.isCongested?.() !== true) return false;
    if (!this.#waiting) {
      this.#waiting = true;
      void this.#port.whenClear?.().then(() => {
        this.#waiting = false;
        this.#loop();
      });
    }
    return true;
  }

  /** Tells the host of results in the ring: at once, or at the latest when there is nothing more to do. */
  #announce(at: number): void {
    // The clock alone does not tell: between it and the writing, the host's look may have passed.
    if (this.#isQuiet(at - this.#rang) && this.#table?.isExpected === true) this.#untold = true;
    else this.#ring(at);
  }

  /** Whether it may be silent still, after so many ms. */
  #isQuiet(silence: number): boolean {
    if (silence < QUIET_MS) return true;
    return silence < QUIET_AHEAD_MS && this.#left * (this.#callable?.held ?? 0) > QUIET_MS;
  }

  #ring(at: number): void {
    this.#rang = at;
    this.#untold = false;
    if (this.#table?.ring() === true) this.#port.postMessage(BELL);
  }

  /** Before a task that may hold the thread for so many ms: no result waits for it. */
  #showResults(held: number): void {
    if (this.#untold) this.#ring(this.#clock);
    if (held < LONG_MS) return;
    this.#table?.awaitLook(MOMENT_MS);
    this.#clock = now();
  }

  #tellRunning(): void {
    this.#port.postMessage([HAS, ...this.#running, ...this.#loading]);
  }

  /** Turns to the next group of tasks. @returns false when there is none */
  #next(): boolean {
    if (this.#at >= this.#batch.length) {
      const message = this.#messages.shift();
      if (message === undefined) {
        this.#batch = [];
        this.#at = 0;
        return false;
      }
      if (message[0] === ASK) {
        this.#tellRunning();
        return this.#next();
      }
      this.#batch = message;
      if (message[0] === RICH) {
        this.#callable = this.#callables.get(message[1] as number);
        this.#at = 2;
        this.#left = 1;
        // The details and the arguments follow the number and the slot.
        this.#argc = 2;
        this.#withId = 0;
        return true;
      }
      this.#at = 1;
    }
    this.#callable = this.#callables.get(this.#batch[this.#at] as number);
    const shape = this.#batch[this.#at + 1] as number;
    this.#withId = shape < 0 ? 1 : 0;
    this.#argc = shape < 0 ? ~shape : shape;
    this.#left = this.#batch[this.#at + 2] as number;
    this.#at += 3;
    return true;
  }

  #startRich(message: unknown[], slot: number, number: number, callable: GuestCallable, began: number): void {
    const details = message[4] as RichDetails;
    if (details.tellBegin) this.#port.postMessage([BEGUN, slot, number, began]);
    // The arguments after the module: it may have added the handlers that decode them.
    const decode = () => {
      this.#decode(message[5] as unknown[], details, slot, number, callable, began);
    };
    const giveUp = () => {
      discardAll(message);
    };
    if (callable.call === undefined) this.#load(callable, slot, number, began, decode, giveUp);
    else decode();
  }

  #decode(
    args: unknown[],
    details: RichDetails,
    slot: number,
    number: number,
    callable: GuestCallable,
    began: number,
  ): void {
    // What an object was constructed with lives as long as the object; else as long as the task.
    const disposers: Disposer[] = [];
    let decoded = 0;
    try {
      for (const [position, handler] of details.handled) {
        decoded++;
        args[position] = decodeValue(handler, args[position], details.how === 'create' ? undefined : disposers);
      }
    } catch (error) {
      for (const dispose of disposers) void dispose(true);
      discard(args, details.handled.slice(decoded));
      if (error instanceof NothingToDo) {
        if (details.endsQuietly) this.#quiet.add(number);
        this.#succeed(slot, number, began, undefined, callable);
      } else this.#fail(slot, number, began, error, callable);
      return;
    }
    if (disposers.length > 0) this.#disposers.set(number, disposers);
    if (details.endsQuietly) this.#quiet.add(number);
    this.#start(callable, args, 0, args.length, slot, number, began, details);
  }

  /** Calls a function in the way that the host asked for. */
  #callAs({ how, adapts }: Meta, call: Call, args: unknown[], slot: number, number: number, name: string): unknown {
    if (how === 'create') {
      const object = Reflect.construct(call, args) as object;
      const port = exposeObject(object);
      return transfer({ port }, [port as object]);
    }
    const generator = generatorOf(call(...args), name);
    const { id, attempt } = this.#current;
    const current = this.#current;
    const within = <T>(step: () => T): T => {
      current.number = number;
      current.id = id;
      current.attempt = attempt;
      setCurrent(current);
      try {
        return step();
      } finally {
        setCurrent(undefined);
      }
    };
    const stream = new GuestStream({ port: this.#port, slot, number, name, adapts }, generator, within);
    this.#streams.set(number, stream);
    if (this.#endedEarly.delete(number)) this.#endStream(number);
    return stream.run();
  }

  #endStream(number: number): void {
    const stream = this.#streams.get(number);
    if (stream === undefined && this.#loading.has(number)) this.#endedEarly.add(number);
    stream?.stop();
    // A generator that waits for something in the meantime is told by its signal.
    this.#signals.get(number)?.abort();
  }

  /** Calls a task's function with `argc` entries of `values` from `first` on. */
  #start(
    callable: GuestCallable,
    values: unknown[],
    first: number,
    argc: number,
    slot: number,
    number: number,
    began: number,
    meta?: Meta,
  ): void {
    const { call } = callable;
    if (call === undefined) {
      const args = values.slice(first, first + argc);
      this.#load(callable, slot, number, began, () => {
        this.#start(callable, args, 0, argc, slot, number, began, meta);
      });
      return;
    }
    const current = this.#current;
    current.number = number;
    current.id = meta?.id ?? number;
    current.attempt = meta?.attempt ?? 1;
    setCurrent(current);
    let result: unknown;
    let pending: Promise<unknown> | undefined;
    try {
      if (meta !== undefined && meta.how !== 'call')
        result = this.#callAs(meta, call, values, slot, number, callable.definition.name);
      else
        switch (argc) {
          case 0:
            result = call();
            break;
          case 1:
            result = call(values[first]);
            break;
          case 2:
            result = call(values[first], values[first + 1]);
            break;
          default:
            result = call(...values.slice(first, first + argc));
        }
      if (isThenable(result)) pending = Promise.resolve(result);
      if (this.#disposers.size > 0) pending = this.#closeLent(number, pending, result);
    } catch (error) {
      setCurrent(undefined);
      // As when it rejects: what it was lent is closed first.
      if (this.#disposers.has(number)) pending = this.#closeLent(number, Promise.reject(error), undefined);
      else {
        this.#fail(slot, number, began, error, callable);
        noteHeld(callable, this.#clock - began);
        return;
      }
    }
    setCurrent(undefined);
    if (pending === undefined) {
      this.#succeed(slot, number, began, result, callable);
    } else {
      this.#clock = now();
      this.#await(pending, slot, number, began, callable);
    }
    noteHeld(callable, this.#clock - began);
  }

  #await(pending: Promise<unknown>, slot: number, number: number, began: number, callable: GuestCallable): void {
    this.#active++;
    this.#running.add(number);
    pending.then(
      (value) => {
        this.#active--;
        this.#running.delete(number);
        this.#succeed(slot, number, began, value, callable);
        this.#loop();
      },
      (error: unknown) => {
        this.#active--;
        this.#running.delete(number);
        this.#fail(slot, number, began, error, callable);
        this.#loop();
      },
    );
  }

  /** Finds the function of a task that has been claimed, then goes on with it. */
  #load(
    callable: GuestCallable,
    slot: number,
    number: number,
    began: number,
    goOn: () => void,
    giveUp?: () => void,
  ): void {
    let loaded: unknown;
    try {
      loaded = callable.load(this.#isAlone);
    } catch (error) {
      giveUp?.();
      this.#fail(slot, number, began, error, callable);
      return;
    }
    if (!(loaded instanceof Promise)) {
      goOn();
      return;
    }
    this.#active++;
    this.#loading.add(number);
    this.#port.postMessage([LOADING, slot, number, true]);
    loaded.then(
      () => {
        this.#active--;
        this.#port.postMessage([LOADING, slot, number, false]);
        // One that was stopped meanwhile is not called: nobody wants its result, and it could block the others.
        if (this.#loading.delete(number)) goOn();
        else {
          giveUp?.();
          this.#fail(slot, number, began, undefined, callable);
        }
        this.#loop();
      },
      (error: unknown) => {
        this.#active--;
        this.#loading.delete(number);
        giveUp?.();
        this.#fail(slot, number, began, error, callable);
        this.#loop();
      },
    );
  }

  #succeed(slot: number, number: number, began: number, result: unknown, callable: GuestCallable): void {
    const ended = (this.#clock = now());
    // The end of a stream must not overtake its last items, which go by message.
    const inOrder = this.#streams.size > 0 && this.#streams.has(number);
    const isQuiet = this.#quiet.size > 0 && this.#quiet.has(number);
    this.#forget(number);
    const table = this.#table;
    const value = isQuiet ? undefined : result;
    if (table === undefined && isQuiet && this.#port.postEnd !== undefined) {
      this.#port.postEnd(slot, number, began, ended);
      return;
    }
    const tag = tagOf(value);
    if (table !== undefined && tag >= 0 && !inOrder) {
      table.write(slot, tag, value, began, ended);
      this.#announce(ended);
      return;
    }
    let counted = false;
    try {
      const wire = tag >= 0 ? undefined : encodeValue(value);
      if (table !== undefined && wire === undefined && !inOrder && store(table, callable, slot, value, began, ended)) {
        this.#announce(ended);
        return;
      }
      // Before the message: the host must not find a worker busy whose result it has.
      counted = true;
      table?.countEnd();
      if (wire === undefined) this.#port.postMessage([RESULT, slot, number, began, ended, value]);
      else {
        this.#port.postMessage([RESULT, slot, number, began, ended, wire.value, wire.handler], wire.transfer);
      }
    } catch (cause) {
      if (!counted) table?.countEnd();
      const where = `The result of ${callable.definition.name}`;
      this.#postFailure(
        slot,
        number,
        began,
        ended,
        cloneError(where, findUnclonable(value, [], this.#port.clone), cause),
      );
    }
  }

  #fail(slot: number, number: number, began: number, error: unknown, callable: GuestCallable): void {
    const ended = (this.#clock = now());
    this.#forget(number);
    explainReferenceError(error, callable);
    this.#table?.countEnd();
    this.#postFailure(slot, number, began, ended, error);
  }

  #postFailure(slot: number, number: number, began: number, ended: number, error: unknown): void {
    const wire = encodeFailure(error);
    try {
      this.#port.postMessage([FAILURE, slot, number, began, ended, wire]);
    } catch {
      // Something in it can be cloned, but not be sent by this port.
      wire.nodes = wire.nodes.map((node) => {
        if (node.kind !== 'value' || findUnclonable(node.value, [], this.#port.clone) === undefined) return node;
        return { kind: 'value', value: `[${describe(node.value)}]` };
      });
      this.#port.postMessage([FAILURE, slot, number, began, ended, wire]);
    }
  }

  /** Lets go of what belonged to a task that has ended. */
  #forget(number: number, stopped = false): void {
    if (this.#signals.size > 0) this.#signals.delete(number);
    if (this.#streams.size > 0) this.#streams.delete(number);
    if (this.#endedEarly.size > 0) this.#endedEarly.delete(number);
    if (this.#quiet.size > 0) this.#quiet.delete(number);
    if (this.#disposers.size === 0) return;
    for (const dispose of this.#disposers.get(number) ?? []) void dispose(stopped);
    this.#disposers.delete(number);
  }

  /** Lets go of what a task was lent before its end is told: the last words of a connection have gone by then. */
  #closeLent(number: number, pending: Promise<unknown> | undefined, result: unknown): Promise<unknown> | undefined {
    if (!this.#disposers.has(number)) return pending;
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

  #signalOf(number: number): AbortSignal {
    let controller = this.#signals.get(number);
    if (controller === undefined) {
      controller = new AbortController();
      this.#signals.set(number, controller);
    }
    return controller.signal;
  }
}

/** Of the calls that take long, one in a hundred is enough to expect another: results are shown before each call then. */
const PEAK_FADES = 0.98;

function noteHeld(callable: GuestCallable, ms: number): void {
  callable.held = ms;
  callable.peak = Math.max(ms, callable.peak * PEAK_FADES);
}

/** Puts a small result into the memory that the host shares. @returns false when it has to go by message */
function store(
  table: GuestTable,
  callable: GuestCallable,
  slot: number,
  value: unknown,
  began: number,
  ended: number,
): boolean {
  if (callable.misfits > 0) {
    callable.misfits--;
    return false;
  }
  if (typeof value === 'string' || typeof value === 'bigint') {
    if (table.writeText(slot, value, began, ended)) return true;
  } else {
    const bytes = pack(value);
    if (bytes !== undefined) return table.writePacked(slot, bytes, began, ended);
  }
  callable.misfits = UNPACKED_AFTER_MISFIT;
  return false;
}

/** Lets go of the arguments of a task that is not run: nobody has decoded them. */
function discardAll(message: readonly unknown[]): void {
  discard(message[5] as unknown[], (message[4] as RichDetails).handled);
}

function discard(args: readonly unknown[], handled: RichDetails['handled']): void {
  for (const [position, handler] of handled) discardValue(handler, args[position]);
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  const mayBe = (typeof value === 'object' && value !== null) || typeof value === 'function';
  return mayBe && typeof (value as { then?: unknown }).then === 'function';
}
