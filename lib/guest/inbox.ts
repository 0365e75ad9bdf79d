import { Fifo } from '../fifo.js';
import { ASK, RICH, unpackRich } from '../wire/protocol.js';
import type { GuestCallable } from './callables.js';

/**
 * The tasks that have arrived, in their order. Batches are taken apart only as far as they are worked through: the fields
 * tell of the task that it has turned to, and hold until it turns to the next one.
 */
export class Inbox {
  /** The message that the task lies in; one with details is unpacked. */
  message: unknown[] = [];
  number = 0;
  slot = 0;
  /** The id of a task that was sent before; undefined when that is its number. */
  id: number | undefined;
  callable: GuestCallable | undefined;
  /** Where its arguments begin in the message, and how many there are. */
  first = 0;
  argc = 0;
  /** How many tasks of the same callable follow in the same message. */
  left = 0;

  readonly #messages = new Fifo<unknown[]>();
  readonly #callables: ReadonlyMap<number, GuestCallable>;
  readonly #asked: () => void;
  #at = 0;
  /** 1 when each entry holds the task's id. */
  #withId: 0 | 1 = 0;

  /** @param asked - called when it comes to a question of the host that waits its turn between the tasks */
  constructor(callables: ReadonlyMap<number, GuestCallable>, asked: () => void) {
    this.#callables = callables;
    this.#asked = asked;
  }

  push(message: unknown[]): void {
    this.#messages.push(message[0] === RICH ? unpackRich(message) : message);
  }

  /** Whether the task came with details, and alone. */
  get isRich(): boolean {
    return this.message[0] === RICH;
  }

  /** Turns to the next task. @returns false when there is none */
  turn(): boolean {
    if (this.left === 0 && !this.#turnToGroup()) return false;
    this.left--;
    const { message } = this;
    const at = this.#at;
    this.number = message[at] as number;
    this.slot = message[at + 1] as number;
    this.id = this.#withId === 1 ? (message[at + 2] as number) : undefined;
    this.first = at + 2 + this.#withId;
    this.#at = this.first + this.argc;
    return true;
  }

  /** Turns to the next tasks of one callable. */
  #turnToGroup(): boolean {
    if (this.#at >= this.message.length && !this.#open()) return false;
    const { message } = this;
    if (this.isRich) {
      this.callable = this.#callables.get(message[1] as number);
      this.#at = 2;
      this.left = 1;
      // The details and the arguments follow the number and the slot.
      this.argc = 2;
      this.#withId = 0;
      return true;
    }
    const at = this.#at;
    this.callable = this.#callables.get(message[at] as number);
    const shape = message[at + 1] as number;
    this.#withId = shape < 0 ? 1 : 0;
    this.argc = shape < 0 ? ~shape : shape;
    this.left = message[at + 2] as number;
    this.#at = at + 3;
    return true;
  }

  /** Opens the next message with tasks. */
  #open(): boolean {
    let message = this.#messages.shift();
    for (; message?.[0] === ASK; message = this.#messages.shift()) this.#asked();
    this.message = message ?? [];
    this.#at = message === undefined ? 0 : 1;
    return message !== undefined;
  }
}
