import type { Endpoint } from '../comlink.js';
import { WorkerDiedError } from '../errors.js';

/** A message port, of Node or of a browser. */
export interface PortLike {
  postMessage(message: unknown, transfer?: unknown[]): void;
  addEventListener(type: string, listener: (event: never) => void): void;
  start(): void;
  close(): void;
  ref?(): void;
  unref?(): void;
}

/** What Comlink posts. */
interface Request {
  id: string;
  type?: string;
}

/**
 * The calling side's end of a port to something that Comlink exposes, with what Comlink leaves out: every call is
 * answered. When the other side has died, calls reject, those in flight too; so does a call whose arguments cannot be
 * cloned. A release waits until the calls in flight have been answered, so that a proxy may be garbage-collected while
 * its last call is under way. While nothing is in flight, the port keeps no process alive.
 */
export class GuardedEndpoint implements Endpoint {
  readonly #port: PortLike;
  readonly #throwOver: (error: unknown) => object;
  readonly #listeners = new Set<(event: never) => void>();
  readonly #pending = new Set<string>();
  #releasing = false;
  #closed = false;

  /** @param throwOver - makes the message of Comlink's that rejects a call with an error */
  constructor(port: PortLike, throwOver: (error: unknown) => object) {
    this.#port = port;
    this.#throwOver = throwOver;
    port.addEventListener('message', (event: { data: Partial<Request> | undefined }) => {
      const id = event.data?.id;
      if (id === undefined || !this.#pending.delete(id)) return;
      this.#tell(event);
      this.#settle();
    });
    port.addEventListener('close', () => {
      this.#close();
    });
    port.start();
    port.unref?.();
  }

  postMessage(message: unknown, transfer: unknown[] = []): void {
    const { id, type } = message as Request;
    if (type === 'RELEASE') {
      this.release();
      return;
    }
    this.#pending.add(id);
    if (this.#closed || this.#releasing) {
      this.#answer(id, new WorkerDiedError('The other side of this proxy has ended or was released'));
      return;
    }
    try {
      this.#port.postMessage(message, transfer);
    } catch (error) {
      this.#answer(id, error);
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
    for (const id of [...this.#pending])
      this.#answerNow(id, new Error('The proxy was released while this call was under way'));
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
    }
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const id of [...this.#pending]) {
      this.#answerNow(id, new WorkerDiedError('The other side of this proxy ended while a call was under way'));
    }
  }

  /** In a microtask, because Comlink is still in the call that posts. */
  #answer(id: string, error: unknown): void {
    queueMicrotask(() => {
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
