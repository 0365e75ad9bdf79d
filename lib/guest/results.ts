import { now } from '#guest';
import { pack } from '#handlers';
import { encodeValue } from '../comlink.js';
import { type GuestTable, tagOf } from '../wire/claim-table.js';
import { BELL, FAILURE, RESULT } from '../wire/protocol.js';
import { cloneError, findUnclonable } from '../wire/unclonable.js';
import { explainReferenceError, type GuestCallable } from './callables.js';
import { encodeFailure, postError } from './failure.js';
import type { Inbox } from './inbox.js';
import type { GuestPort } from './port.js';

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

/**
 * Tells the host how tasks have ended: by the memory that is shared with it where they fit there, else by message. What
 * lies in the memory it rings for, at once or a little later.
 */
export class Results {
  /** When the last task ended, or the thread came back to its tasks: when the next one begins. */
  clock = 0;

  readonly #port: GuestPort;
  readonly #table: GuestTable | undefined;
  readonly #inbox: Inbox;
  /** When the host was rung last. */
  #rang = -Infinity;
  /** Results lie in the ring of which the host was not told. */
  #untold = false;

  constructor(port: GuestPort, table: GuestTable | undefined, inbox: Inbox) {
    this.#port = port;
    this.#table = table;
    this.#inbox = inbox;
  }

  /** To be called before a task of the callable begins: no result waits for one that may take long. */
  showBefore({ held, peak }: GuestCallable): void {
    if (held < QUIET_MS && peak < QUIET_MS) return;
    this.flush();
    if (held < LONG_MS) return;
    this.#table?.awaitLook(MOMENT_MS);
    this.clock = now();
  }

  /** To be called when there is nothing more to do for now. */
  flush(): void {
    if (this.#untold) this.#ring(this.clock);
  }

  /**
   * A task has ended well.
   *
   * @param byMessage - its result must not overtake what goes by message
   */
  succeed(
    slot: number,
    number: number,
    began: number,
    value: unknown,
    callable: GuestCallable,
    byMessage: boolean,
  ): void {
    const ended = (this.clock = now());
    const table = byMessage ? undefined : this.#table;
    const tag = tagOf(value);
    if (table !== undefined && tag >= 0) {
      table.write(slot, tag, value, began, ended);
      this.#announce(ended);
      return;
    }
    let counted = false;
    try {
      const wire = tag >= 0 ? undefined : encodeValue(value);
      if (table !== undefined && wire === undefined && store(table, callable, slot, value, began, ended)) {
        this.#announce(ended);
        return;
      }
      // Before the message: the host must not find a worker busy whose result it has.
      counted = true;
      this.#table?.countEnd();
      if (wire === undefined) this.#port.postMessage([RESULT, slot, number, began, ended, value]);
      else {
        this.#port.postMessage([RESULT, slot, number, began, ended, wire.value, wire.handler], wire.transfer);
      }
    } catch (cause) {
      if (!counted) this.#table?.countEnd();
      const where = `The result of ${callable.definition.name}`;
      const error = cloneError(where, findUnclonable(value, [], this.#port.clone), cause);
      this.#postFailure(slot, number, began, ended, error);
    }
  }

  /** A task has ended well, and nobody wants what it gave: this may be told a little later. */
  succeedQuietly(slot: number, number: number, began: number, callable: GuestCallable): void {
    if (this.#table === undefined && this.#port.postEnd !== undefined) {
      this.clock = now();
      this.#port.postEnd(slot, number, began, this.clock);
    } else this.succeed(slot, number, began, undefined, callable, false);
  }

  fail(slot: number, number: number, began: number, error: unknown, callable: GuestCallable): void {
    const ended = (this.clock = now());
    explainReferenceError(error, callable);
    this.#table?.countEnd();
    this.#postFailure(slot, number, began, ended, error);
  }

  #postFailure(slot: number, number: number, began: number, ended: number, error: unknown): void {
    postError(this.#port, [FAILURE, slot, number, began, ended], encodeFailure(error));
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
    return silence < QUIET_AHEAD_MS && this.#inbox.left * (this.#inbox.callable?.held ?? 0) > QUIET_MS;
  }

  #ring(at: number): void {
    this.#rang = at;
    this.#untold = false;
    if (this.#table?.ring() === true) this.#port.postMessage(BELL);
  }
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
