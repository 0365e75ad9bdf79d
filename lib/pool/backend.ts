import type { Endpoint } from '../comlink.js';
import type { WorkerDeath } from '../errors.js';

/** What a platform tells about one of its workers. */
export interface ConnectionEvents {
  /** A message has come by the task port. */
  message(data: unknown): void;
  /** A message has come that cannot be read here. */
  unreadable(): void;
  /** The worker threw something that nobody caught; it is about to end. */
  error(error: unknown): void;
  /**
   * The worker has ended. Nothing comes after this.
   *
   * @param read - how many messages of the task port it had read, where it said so
   */
  exit(death: WorkerDeath, read?: number): void;
}

/** One worker as its platform gives it. */
export interface Connection {
  /** The worker's own channel, for Comlink. */
  readonly endpoint: Endpoint;
  /** The guest's end of the task port; goes with the `serve` call. */
  readonly guestPort: unknown;
  /** How many messages were sent by the task port; undefined where shared memory tells what the guest has begun. */
  readonly sent: number | undefined;
  /** Whether it is known that nothing reaches the worker any more; its end follows. */
  readonly lost?: boolean;
  /**
   * Sends by the task port.
   *
   * @param handle - what `encode` gave, to go with the message
   * @throws what structured cloning throws; then nothing was sent
   */
  post(message: unknown, transfer: readonly unknown[], handle?: unknown): void;
  /** The same at the end of this turn, with what else goes then; for what can surely be cloned. Whatever is posted meanwhile comes after it. */
  postSoon?(message: unknown[]): void;
  /** Throws for what it cannot send although structured cloning can. */
  readonly clone?: (value: unknown) => unknown;
  /** Encodes an argument that can be handed to this worker better than others; undefined for all that cannot. */
  encode?(value: unknown): HandledValue | undefined;
  /** Hands over the messages that have arrived but not been told of. */
  drain(): void;
  /** Whether the worker keeps the process alive. */
  ref(): void;
  unref(): void;
  /** Ends a worker that has nothing to do, with what it has to do at its end; `exit` follows. */
  end(): void;
  /** The worker says that its orderly end takes a while. */
  letLinger?(): void;
  /** Ends the worker at once; `exit` follows. */
  terminate(): void;
}

/** An argument that a platform sends in a way of its own. */
export interface HandledValue {
  value: unknown;
  /** The transfer handler of the guest that makes the argument. */
  handler: string;
  /** Goes with the message; one a message. */
  handle?: unknown;
  /** Is moved with the message. */
  transfer?: readonly unknown[];
  /** The task need not go before the end of this turn, and what goes beside this value can surely be cloned. */
  soon?: boolean;
  /** Nobody wants what the task gives, nor its end but for its slot: where that takes a message, several may share one. */
  endsQuietly?: boolean;
}

/** A platform's kind of worker: all that the pool knows of threads and processes. */
export interface Backend {
  /** Whether host and guests share memory. */
  readonly sharedMemory: boolean;
  /** Whether its connections encode such a value, which nothing else would. */
  readonly handsOver?: (value: object) => boolean;
  /** Starts a worker. @throws when the options are not to the platform's liking */
  start(name: string, events: ConnectionEvents): Connection;
}
