import { endGuest, now } from '#guest';
import { sharedStore } from '#handlers';
import { decodeValue, discardValue, exposeObject, transfer } from '../comlink.js';
import { GuestTable } from '../wire/claim-table.js';
import { encodeError } from '../wire/errors.js';
import type { Disposer } from '../wire/scope.js';
import {
  ABORT,
  ASK,
  BEGUN,
  CREDIT,
  DEFINE,
  END,
  type Definition,
  FORGET,
  HAS,
  INITIALIZER_FAILED,
  LINGERS,
  LOADING,
  PING,
  PONG,
  READY,
  RETURN,
  RICH,
  type RichDetails,
  type ServeConfig,
  TASKS,
  UNREADABLE,
} from '../wire/protocol.js';
import { explainReferenceError, GuestCallable } from './callables.js';
import { isInTask, setCurrent } from './current-task.js';
import { postError } from './failure.js';
import { Inbox } from './inbox.js';
import { Lent } from './lent.js';
import type { GuestPort } from './port.js';
import { Results } from './results.js';
import { generatorOf, GuestStream } from './stream.js';

type Call = (...args: unknown[]) => unknown;

/** What is out of the ordinary about a task. */
type Meta = Pick<RichDetails, 'id' | 'attempt' | 'how' | 'adapts'>;

const sentAgain = (id: number): Meta => ({ id, attempt: 1, how: 'call', adapts: false });

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
  readonly #inbox = new Inbox(this.#callables, () => {
    this.#tellRunning();
  });
  readonly #results: Results;
  // Kept for the few tasks that have one, by number.
  readonly #signals = new Map<number, AbortController>();
  /** Tasks that wait for their modules. */
  readonly #loading = new Set<number>();
  /** Tasks whose functions have returned promises that are pending. */
  readonly #running = new Set<number>();
  readonly #streams = new Map<number, GuestStream>();
  /** Streams that nobody reads any more, and that are not there yet. */
  readonly #endedEarly = new Set<number>();
  readonly #lent = new Lent();
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

  /** Whether no task runs: those in the works wait for their modules. */
  readonly #isAlone = () => this.#active === this.#loading.size && !isInTask();

  constructor(port: GuestPort, config: ServeConfig, exposed: object) {
    this.#port = port;
    this.#table = config.memory === undefined ? undefined : new GuestTable(config.memory, sharedStore);
    this.#results = new Results(port, this.#table, this.#inbox);
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
      postError(this.#port, [INITIALIZER_FAILED], encodeError(error));
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
      case RICH:
        this.#inbox.push(message);
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
        endGuest(() => {
          this.#port.postMessage([LINGERS]);
        });
        break;
      case PING:
        this.#port.postMessage([PONG, message[1]]);
        break;
      case ASK:
        // Without claims, what waits here counts as begun there: the answer comes when it has been.
        if (this.#table === undefined) this.#inbox.push(message);
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
    const inbox = this.#inbox;
    const results = this.#results;
    results.clock = now();
    while (this.#active < this.#concurrency && !this.#waitsForPort() && inbox.turn()) {
      const { message, number, slot } = inbox;
      if (this.#table?.claim(slot, number) === false) {
        if (inbox.isRich) discardAll(message);
        continue;
      }
      const callable = inbox.callable as GuestCallable;
      results.showBefore(callable);
      if (inbox.isRich) this.#startRich(message, slot, number, callable, results.clock);
      else
        this.#start(
          callable,
          message,
          inbox.first,
          inbox.argc,
          slot,
          number,
          results.clock,
          inbox.id === undefined ? undefined : sentAgain(inbox.id),
        );
    }
    this.#looping = false;
    results.flush();
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

  #tellRunning(): void {
    this.#port.postMessage([HAS, ...this.#running, ...this.#loading]);
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
      this.#fail(slot, number, began, error, callable);
      return;
    }
    if (disposers.length > 0) this.#lent.add(number, disposers);
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
      if (this.#lent.has(number)) pending = this.#lent.close(number, pending, result);
    } catch (error) {
      setCurrent(undefined);
      // As when it rejects: what it was lent is closed first.
      if (this.#lent.has(number)) pending = this.#lent.close(number, Promise.reject(error), undefined);
      else {
        this.#fail(slot, number, began, error, callable);
        noteHeld(callable, this.#results.clock - began);
        return;
      }
    }
    setCurrent(undefined);
    if (pending === undefined) {
      this.#succeed(slot, number, began, result, callable);
    } else {
      this.#results.clock = now();
      this.#await(pending, slot, number, began, callable);
    }
    noteHeld(callable, this.#results.clock - began);
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
    // The end of a stream must not overtake its last items, which go by message.
    const byMessage = this.#streams.size > 0 && this.#streams.has(number);
    const isQuiet = this.#quiet.size > 0 && this.#quiet.has(number);
    this.#forget(number);
    if (isQuiet) this.#results.succeedQuietly(slot, number, began, callable);
    else this.#results.succeed(slot, number, began, result, callable, byMessage);
  }

  #fail(slot: number, number: number, began: number, error: unknown, callable: GuestCallable): void {
    this.#forget(number);
    this.#results.fail(slot, number, began, error, callable);
  }

  /** Lets go of what belonged to a task that has ended. */
  #forget(number: number, stopped = false): void {
    if (this.#signals.size > 0) this.#signals.delete(number);
    if (this.#streams.size > 0) this.#streams.delete(number);
    if (this.#endedEarly.size > 0) this.#endedEarly.delete(number);
    if (this.#quiet.size > 0) this.#quiet.delete(number);
    this.#lent.drop(number, stopped);
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
