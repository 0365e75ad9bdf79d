import type { SendHandle } from 'node:child_process';
import { Fifo } from '../fifo.js';

/** Sends by the channel of a child process. `done` is called when the message has left. */
type Send = (message: unknown, handle: SendHandle | undefined, done: (error: Error | null) => void) => boolean;

interface Sending {
  message: unknown;
  handle: SendHandle | undefined;
  done: (error: Error | null) => void;
}

/**
 * The line of what is to be sent to a child process. Node sends no handle before the child has told of the one before,
 * and at each of these news sends its whole line anew, to put all but the first of it in a new line: of n sockets it
 * makes n² entries. Here what follows a handle that has not left waits until it has, so that Node's line has one handle
 * in it.
 */
export class HandleLine {
  readonly #send: Send;
  readonly #waiting = new Fifo<Sending>();
  /** A handle has been given to Node, and has not left. */
  #leaving = false;

  constructor(send: Send) {
    this.#send = send;
  }

  /** @returns false when much of what was sent has not left yet */
  send(message: unknown, handle: SendHandle | undefined, done: (error: Error | null) => void): boolean {
    if (this.#waiting.length > 0 || (this.#leaving && handle !== undefined)) {
      this.#waiting.push({ message, handle, done });
      return false;
    }
    return this.#pass(message, handle, done);
  }

  /** The child is gone. */
  close(): void {
    this.#waiting.clear();
  }

  #pass(message: unknown, handle: SendHandle | undefined, done: (error: Error | null) => void): boolean {
    if (handle === undefined) return this.#send(message, undefined, done);
    let left = false;
    const hasLeft = this.#send(message, handle, (error) => {
      // Node says so again when it sends it again, because the child could not receive it.
      if (left) return;
      left = true;
      this.#leaving = false;
      done(error);
      this.#fill();
    });
    // Not before: one that is refused by throwing never leaves.
    this.#leaving = true;
    return hasLeft;
  }

  #fill(): void {
    while (!this.#leaving) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      this.#pass(next.message, next.handle, next.done);
    }
  }
}
