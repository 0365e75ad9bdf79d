import type { Endpoint } from '../comlink.js';
import { PORTS } from '../wire/protocol.js';

/** As much of a message port as bridges need. */
export interface BridgePort {
  postMessage(message: unknown, transfer?: readonly never[]): void;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- as of node:worker_threads: who listens knows what comes
  on(event: 'message', listener: (message: any) => void): unknown;
  on(event: 'close', listener: () => void): unknown;
  close(): void;
  unref(): void;
}

/** Instead of a port's id. */
const CARRIER = 0;
/** Turns of the event loop that a batch waits at most, while each brings more. */
const MOST_LOOKS = 5;

/** Node's events on a port that has arrived here: Deno hands over ports of the web, which know nothing of them. */
export function withEvents<P extends object>(port: P): P {
  if (typeof (port as { on?: unknown }).on === 'function') return port;
  return Object.assign(port, {
    on(event: string, listener: (data: unknown) => void) {
      const endpoint = port as Endpoint;
      endpoint.addEventListener(event, ({ data }: { data?: unknown }) => {
        listener(data);
      });
      if (event === 'message') endpoint.start?.();
    },
    unref() {
      // What waits for such a port does not keep a thread of Deno alive.
    },
  });
}

/**
 * Many ports over one. A message channel for each connection costs more than most connections do, and a message for each
 * packet wakes the other thread each time; here what is posted in a few turns of the event loop goes in one message:
 *
 *     [PORTS, id, message, id, message, ...]
 *
 * where `null` instead of a message says that the port was closed. A message with the id 0 belongs to the port that carries them.
 */
export class PortMux {
  readonly #post: (message: unknown[], transfer: readonly never[]) => void;
  /** Each until both sides have closed it: what was under way at its end is no message of an unknown port. */
  readonly #ports = new Map<number, MuxedPort>();
  /** What has come for ports that are not open yet, because their tasks still wait. */
  readonly #early = new Map<number, unknown[]>();
  readonly #opens: boolean;
  readonly #carried: ((message: unknown[]) => void) | undefined;
  #batch: unknown[] = [PORTS];
  #transfer: never[] = [];
  /** How long the batch was at the last look for events, and how many looks there were. */
  #seen = 0;
  #looks = 0;
  #nextId = CARRIER + 1;
  #carries = false;
  #over = false;

  /**
   * @param opens - whether this side opens the ports that the other one creates
   * @param post - sends to the other side, whose mux is given what arrives
   * @param carried - takes what the other side has had carried
   */
  constructor(
    opens: boolean,
    post: (message: unknown[], transfer: readonly never[]) => void,
    carried?: (message: unknown[]) => void,
  ) {
    this.#opens = opens;
    this.#post = post;
    this.#carried = carried;
  }

  /** How many ports there are, the ones counted in that nobody has opened yet. */
  get size(): number {
    return this.#ports.size + this.#early.size;
  }

  /** Makes a port, which the other side can open by its id. */
  create(): { id: number; port: BridgePort } {
    const id = this.#nextId++;
    return { id, port: this.#add(id) };
  }

  /** Opens a port that the other side has made, once. */
  open(id: number): BridgePort {
    const port = this.#add(id);
    const early = this.#early.get(id);
    if (early !== undefined) {
      // What comes in the meantime comes after it.
      void Promise.resolve().then(() => {
        this.#early.delete(id);
        for (const message of early) this.#deliver(id, message);
      });
    }
    return port;
  }

  /** Takes a message of the other side. */
  receive(message: readonly unknown[]): void {
    for (let i = 1; i < message.length; i += 2) {
      if (message[i] === CARRIER) this.#carried?.(message[i + 1] as unknown[]);
      else this.#deliver(message[i] as number, message[i + 1]);
    }
  }

  /** Sends a message of the carrying port with those of this turn. It is to be one that can surely be cloned. */
  carry(message: unknown[]): void {
    this.#send(CARRIER, message, []);
    this.#carries = true;
  }

  /** To be called before the carrying port sends something else, so that nothing overtakes what it was given to carry. */
  keepOrder(): void {
    if (this.#carries) this.#flush();
  }

  /** The other side is gone: so are its ports. */
  close(): void {
    this.#over = true;
    for (const port of this.#ports.values()) port.end();
    this.#ports.clear();
    this.#early.clear();
  }

  #add(id: number): MuxedPort {
    const port = new MuxedPort((message, transfer) => {
      this.#send(id, message, transfer);
    });
    if (this.#over)
      void Promise.resolve().then(() => {
        port.end();
      });
    else this.#ports.set(id, port);
    return port;
  }

  #deliver(id: number, message: unknown): void {
    const port = this.#ports.get(id);
    const early = this.#early.get(id);
    if (early !== undefined || (port === undefined && this.#opens)) {
      if (early === undefined) this.#early.set(id, [message]);
      else early.push(message);
    } else if (message === null) {
      this.#ports.delete(id);
      port?.close();
      port?.end();
    } else {
      port?.take(message);
    }
  }

  #send(id: number, message: unknown, transfer: readonly never[]): void {
    if (this.#over) return;
    if (this.#batch.length === 1) setImmediate(this.#soon);
    this.#batch.push(id, message);
    this.#transfer.push(...transfer);
  }

  /**
   * After one more look for events, and again while each look finds more for the other thread: to wake it takes longer than
   * to read what has arrived by now.
   */
  readonly #soon = () => {
    const { length } = this.#batch;
    if (length > this.#seen && this.#looks < MOST_LOOKS) {
      this.#seen = length;
      this.#looks++;
      setImmediate(this.#soon);
    } else this.#flush();
  };

  readonly #flush = () => {
    if (this.#batch.length === 1) return;
    const batch = this.#batch;
    const transfer = this.#transfer;
    this.#seen = 0;
    this.#looks = 0;
    this.#batch = [PORTS];
    this.#transfer = [];
    this.#carries = false;
    if (!this.#over) this.#post(batch, transfer);
  };
}

class MuxedPort implements BridgePort {
  readonly #send: (message: unknown, transfer: readonly never[]) => void;
  #onMessage: ((message: unknown) => void) | undefined;
  #onClose: (() => void) | undefined;
  #closed = false;
  #ended = false;

  constructor(send: (message: unknown, transfer: readonly never[]) => void) {
    this.#send = send;
  }

  /** One listener for each event is all that a bridge has. */
  on(event: 'message' | 'close', listener: (message: unknown) => void): void {
    if (event === 'message') this.#onMessage = listener;
    else this.#onClose = listener as () => void;
  }

  postMessage(message: unknown, transfer: readonly never[] = []): void {
    if (!this.#closed) this.#send(message, transfer);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#send(null, []);
  }

  unref(): void {
    // The one port that carries them says whether they keep the process alive.
  }

  /** A message has come. */
  take(message: unknown): void {
    if (!this.#closed) this.#onMessage?.(message);
  }

  /** The other side has closed it, or is gone. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#closed = true;
    this.#onClose?.();
  }
}
