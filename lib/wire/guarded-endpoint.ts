import type { Endpoint } from '../comlink.js';
import { WorkerDiedError } from '../errors.js';
import { cloneError, findUnclonable } from './unclonable.js';

/** A message port, of Node or of a browser. */
export interface PortLike {
  postMessage(message: unknown, transfer?: unknown[]): void;
  addEventListener(type: string, listener: (event: never) => void): void;
  start(): void;
  close(): void;
  ref?(): void;
  unref?(): void;
}

/** What Comlink posts: calls, and their answers. */
interface Message {
  id: string;
  type?: string;
  /** Of a call. */
  argumentList?: { value: unknown }[];
  /** Of an answer, and of a call that sets a property. */
  value?: unknown;
}

/** A call, or an answer, could not be read somewhere on its way, and it is not known which. */
export const UNREADABLE = 'unreadable';

export const unreadable = () => new DOMException('A value of a call cannot be read on its arrival', 'DataCloneError');

/**
 * The calling side's end of a port to something that Comlink exposes, with what Comlink leaves out: every call is
 * answered. When the other side has died, calls reject, those in flight too; so does a call whose arguments cannot be
 * cloned. A release waits until the calls in flight have been answered, so that a proxy may be garbage-collected while
 * its last call is under way. While nothing is in flight, the port keeps no process alive.
 */
export class GuardedEndpoint implements Endpoint {
  readonly #port: PortLike;
  readonly #throwOver: (error: unknown) => object;
  readonly #onOver: (() => void) | undefined;
  readonly #listeners = new Set<(event: never) => void>();
  readonly #pending = new Set<string>();
  #releasing = false;
  #closed = false;

  /**
   * @param throwOver - makes the message of Comlink's that rejects a call with an error
   * @param over - is called once, when either side is gone
   */
  constructor(port: PortLike, throwOver: (error: unknown) => object, over?: () => void) {
    this.#port = port;
    this.#throwOver = throwOver;
    this.#onOver = over;
    port.addEventListener('message', (event: { data: Partial<Message> | undefined }) => {
      const id = event.data?.id;
      if (id === UNREADABLE) this.#rejectAll(unreadable);
      if (id === undefined || !this.#pending.delete(id)) return;
      this.#tell(event);
      this.#settle();
    });
    port.addEventListener('messageerror', () => {
      this.#rejectAll(unreadable);
    });
    port.addEventListener('close', () => {
      this.close();
    });
    port.start();
    port.unref?.();
  }

  /** Whether every further call is going to reject. */
  get over(): boolean {
    return this.#closed || this.#releasing;
  }

  postMessage(message: unknown, transfer: unknown[] = []): void {
    const { id, type } = message as Message;
    if (type === 'RELEASE') {
      this.release();
      return;
    }
    this.#pending.add(id);
    if (this.over) {
      const error = this.#releasing
        ? new Error('This proxy was released, by its holder or at the end of its task')
        : new WorkerDiedError('The other side of this proxy has ended');
      this.#answer(id, error);
      return;
    }
    try {
      this.#port.postMessage(message, transfer);
    } catch (cause) {
      this.#answer(id, refusal(message as Message, transfer, cause));
      return;
    }
    this.#port.ref?.();
  }

  addEventListener(_type: string, listener: (event: never) => void): void {
    this.#listeners.add(listener);
  }

  removeEventListener(_type: string, listener: (event: never) => void): void {
    this.#listeners.delete(listener);
  }

  /** Lets go of the other side once the calls in flight are answered. */
  release(): void {
    if (this.#releasing || this.#closed) return;
    this.#releasing = true;
    this.#settle();
  }

  /** Lets go of the other side at once: calls in flight reject. */
  abandon(): void {
    this.release();
    this.#rejectAll(() => new Error('The proxy was released while this call was under way'));
  }

  #settle(): void {
    if (this.#pending.size > 0) return;
    this.#port.unref?.();
    if (!this.#releasing || this.#closed) return;
    this.#closed = true;
    try {
      this.#port.postMessage({ id: 'release', type: 'RELEASE' });
    } finally {
      this.#port.close();
      this.#onOver?.();
    }
  }

  /** The other side is gone. Where ports tell of it nobody else need. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#onOver?.();
    this.#rejectAll(() => new WorkerDiedError('The other side of this proxy ended while a call was under way'));
  }

  #rejectAll(error: () => Error): void {
    for (const id of [...this.#pending]) this.#answerNow(id, error());
  }

  /** In a microtask, because Comlink is still in the call that posts. Not by queueMicrotask, which fake clocks of tests stop. */
  #answer(id: string, error: unknown): void {
    void Promise.resolve().then(() => {
      this.#answerNow(id, error);
    });
  }

  #answerNow(id: string, error: unknown): void {
    if (!this.#pending.delete(id)) return;
    this.#tell({ data: { id, ...this.#throwOver(error) } });
    this.#settle();
  }

  #tell(event: object): void {
    for (const listener of this.#listeners) listener(event as never);
  }
}

/**
 * The exposing side's end of such a port: whatever goes wrong there becomes the answer of the call, and no uncaught error of
 * this thread.
 */
export class ExposedEndpoint implements Endpoint {
  readonly #port: PortLike;
  readonly #throwOver: (error: unknown) => object;
  readonly #listeners = new Set<(event: never) => void>();

  /** @param throwOver - makes the message of Comlink's that rejects a call with an error */
  constructor(port: PortLike, throwOver: (error: unknown) => object) {
    this.#port = port;
    this.#throwOver = throwOver;
    port.addEventListener('message', (event: { data: Message }) => {
      // Of an answer, and for who called.
      if (event.data.id === UNREADABLE) return;
      try {
        for (const listener of this.#listeners) listener(event as never);
      } catch (error) {
        // Comlink reads the arguments outside of its own try.
        port.postMessage({ id: event.data.id, ...this.#throwOver(error) });
      }
    });
    port.addEventListener('messageerror', () => {
      port.postMessage({ id: UNREADABLE });
    });
    port.start();
    port.unref?.();
  }

  postMessage(message: unknown, transfer: unknown[] = []): void {
    try {
      this.#port.postMessage(message, transfer);
    } catch (cause) {
      const { id } = message as Message;
      this.#port.postMessage({ id, ...this.#throwOver(refusal(message as Message, transfer, cause)) });
    }
  }

  addEventListener(_type: string, listener: (event: never) => void): void {
    this.#listeners.add(listener);
  }

  removeEventListener(_type: string, listener: (event: never) => void): void {
    this.#listeners.delete(listener);
  }
}

/**
 * Says what in a call, or in an answer, cannot be cloned.
 *
 * @param clone - throws for what cannot be sent
 */
export function refusal(
  { argumentList, value }: Pick<Message, 'argumentList' | 'value'>,
  transfer: readonly unknown[],
  cause: unknown,
  clone?: (value: unknown) => unknown,
): DOMException {
  for (const [i, argument] of (argumentList ?? []).entries()) {
    const found = findUnclonable(argument.value, transfer, clone);
    if (found !== undefined) return cloneError(`Argument ${String(i + 1)} of the call`, found, cause);
  }
  const where = argumentList === undefined ? 'The value of the call' : 'An argument of the call';
  return cloneError(where, argumentList === undefined ? findUnclonable(value, transfer, clone) : undefined, cause);
}
