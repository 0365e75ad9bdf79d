import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { listen, type OwnAddress } from './preforked-guest.js';

interface SpareHandle {
  close(): void;
}

let lent: ((handle: SpareHandle) => void) | undefined;

/** Gives the server of this process another duplicate of its listening handle. */
export function lend(handle: object): void {
  if (lent === undefined) (handle as SpareHandle).close();
  else lent(handle as SpareHandle);
}

/** Duplicates of the listening handle kept ready. Each costs as much as some connections. */
const SPARES = 4;

/** Listens. There is no way to pause a listening handle: it is closed, and another duplicate of it takes its place. */
export class Acceptor {
  readonly #accept: (socket: Socket) => void;
  readonly #backlog: number;
  readonly #wantHandle: () => unknown;
  #server: Server | undefined;
  /** To go on with after pauses. */
  readonly #spares: SpareHandle[] = [];
  /** Whether it can be paused: an address of one's own has a queue of its own, and to let go of it would reset who waits there. */
  #pausable = false;
  /** Paused, and to go on as soon as it can. */
  #wanted = false;
  #closed = false;
  address: AddressInfo | undefined;

  constructor(backlog: number, wantHandle: () => unknown, accept: (socket: Socket) => void) {
    this.#backlog = backlog;
    this.#wantHandle = wantHandle;
    this.#accept = accept;
  }

  async start(where: object | OwnAddress): Promise<void> {
    this.#pausable = !('port' in where);
    if (this.#pausable) {
      lent = (handle) => {
        this.#take(handle);
      };
      for (let i = 0; i < SPARES; i++) this.#want();
    }
    await this.#listen(where);
  }

  async #listen(where: object | OwnAddress): Promise<void> {
    const server = createServer({ allowHalfOpen: true }, this.#accept);
    this.#server = server;
    await listen(server, where, this.#backlog);
    // What fails from here on is the accepting of one connection, for want of file descriptors: others go on.
    server.on('error', ignore);
    this.address ??= server.address() as AddressInfo;
  }

  #want(): void {
    Promise.resolve(this.#wantHandle()).catch(ignore);
  }

  #take(handle: SpareHandle): void {
    if (this.#closed) handle.close();
    else this.#spares.push(handle);
    if (this.#wanted) this.resume();
  }

  /** Stops accepting, so that other processes get what comes. */
  pause(): void {
    this.#wanted = false;
    if (!this.#pausable) return;
    this.#server?.close();
    this.#server = undefined;
  }

  /** Goes on, now or as soon as there is a handle. */
  resume(): void {
    if (this.#server !== undefined || this.#closed) return;
    const spare = this.#spares.pop();
    this.#wanted = spare === undefined;
    if (spare === undefined) return;
    this.#want();
    this.#listen(spare).catch(() => {
      // With the next one, then.
      this.#server = undefined;
      this.#wanted = true;
    });
  }

  close(): void {
    this.#closed = true;
    this.#server?.close();
    for (const spare of this.#spares) spare.close();
  }
}

function ignore(): void {
  // Intentionally empty.
}
