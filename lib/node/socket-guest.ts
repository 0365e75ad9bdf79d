import type { AddressInfo, Socket } from 'node:net';
import { TimeoutError } from '../errors.js';
import { explainReferenceError, GuestCallable } from '../guest/callables.js';
import { type Current, currentTask, setCurrent } from '../guest/current-task.js';
import { encodeFailure } from '../guest/failure.js';
import type { WireError } from '../wire/errors.js';
import type { Definition } from '../wire/protocol.js';
import { Acceptor } from './acceptor.js';
import { aborted, leaveSignalsToParent, type OwnAddress, type Report, Reports } from './preforked-guest.js';
import { type RawHandle, rawHandle } from './raw-handle.js';
import { closeServed, farewells, readToTheEnd } from './served-socket.js';
import { noCounts, type ServerStats, Slots } from './slots.js';

export { lend } from './acceptor.js';

/** Bounds of one process. */
export interface Settings {
  backlog: number;
  concurrency: number;
  /** ms that a connection may be served. */
  timeout: number;
}

/** What a process has its parent do. */
export interface Parent {
  report: Report;
  /** Another duplicate of the listening handle is wanted; it comes by `lend`. */
  wantHandle: () => unknown;
  /** A handler has failed. */
  onError: ((error: WireError, peer: string) => unknown) | undefined;
}

/**
 * Serves connections until `drain` is aborted and the last one has ended, on the side of its peer, too.
 *
 * @param where - the handle of an address that the parent has bound, or an address to bind here
 * @param handler - is called with each connection, and the address of its peer
 * @param report - told when the process listens and where, and of its counts as they change
 */
export async function serve(
  where: object | OwnAddress,
  handler: Definition,
  settings: Settings,
  drain: AbortSignal,
  report: Report,
  wantHandle: Parent['wantHandle'],
  onError?: Parent['onError'],
): Promise<ServerStats> {
  const { worker } = currentTask();
  leaveSignalsToParent();
  const callable = new GuestCallable(handler, Object.create(null) as object);
  // Its module may never come to an end.
  await Promise.race([callable.load(() => true), aborted(drain)]);
  if (callable.call === undefined) return noCounts();
  const gate = new ConnectionGate(callable, worker, settings, { report, wantHandle, onError });
  await gate.open(where);
  await aborted(drain);
  await gate.close();
  await farewells();
  return gate.counts();
}

/** A connection that was accepted. */
class Served {
  readonly socket: Socket;
  /** It has, or had, a place. */
  begun = false;
  over = false;
  /** What is not read while it waits. */
  held: RawHandle | undefined;
  stop: AbortController | undefined;
  timer: ReturnType<typeof setTimeout> | undefined;

  constructor(socket: Socket) {
    this.socket = socket;
  }
}

/** Lets no more connections be served at once than there are places. */
class ConnectionGate {
  readonly #slots: Slots<Served>;
  readonly #acceptor: Acceptor;
  readonly #reports: Reports;
  readonly #callable: GuestCallable;
  readonly #timeout: number;
  readonly #onError: Parent['onError'];
  readonly #current: Current;
  /** The connection whose handler is being called. */
  #beginning: Served | undefined;

  constructor(
    callable: GuestCallable,
    worker: string,
    { backlog, concurrency, timeout }: Settings,
    { report, wantHandle, onError }: Parent,
  ) {
    this.#callable = callable;
    this.#timeout = timeout;
    this.#onError = onError;
    this.#current = { number: 0, id: 0, attempt: 1, worker, signal: () => this.#signal() };
    this.#reports = new Reports(() => report(this.counts(), this.#acceptor.address as AddressInfo));
    this.#acceptor = new Acceptor(backlog, wantHandle, (socket) => {
      this.#enter(socket);
    });
    this.#slots = new Slots(
      () => concurrency,
      Infinity,
      (served) => {
        this.#begin(served);
      },
    );
  }

  counts(): ServerStats {
    return this.#slots.counts();
  }

  async open(where: object | OwnAddress): Promise<void> {
    await this.#acceptor.start(where);
    this.#reports.now();
  }

  /** Resolves when the last connection has ended. */
  close(): Promise<void> {
    this.#acceptor.close();
    return this.#slots.close(({ socket }) => {
      socket.resetAndDestroy();
    });
  }

  #enter(socket: Socket): void {
    // A peer that resets its connection ends this connection, and nothing else here.
    socket.on('error', ignore);
    const served = new Served(socket);
    if (!this.#slots.enter(served)) socket.resetAndDestroy();
    else if (!served.begun) {
      served.held = rawHandle(socket);
      served.held?.readStop();
    }
    // Another process may have a place for what comes next.
    if (this.#slots.full) this.#acceptor.pause();
    this.#reports.soon();
  }

  #begin(served: Served): void {
    served.begun = true;
    const { socket } = served;
    const { remoteAddress = '', remotePort = 0, remoteFamily = '' } = socket;
    // It may have been closed while it waited.
    if (served.held !== undefined && served.held === rawHandle(socket)) served.held.readStart();
    readToTheEnd(socket);
    const peer = `${remoteAddress}:${String(remotePort)}`;
    if (this.#timeout !== Infinity) {
      served.timer = setTimeout(() => {
        this.#expire(served, peer);
      }, this.#timeout);
    }
    const current = this.#current;
    current.id++;
    this.#beginning = served;
    setCurrent(current);
    let result: unknown;
    try {
      result = this.#callable.call?.(socket, { address: remoteAddress, port: remotePort, family: remoteFamily });
    } catch (error) {
      result = Promise.reject(error);
    }
    setCurrent(undefined);
    this.#beginning = undefined;
    Promise.resolve(result).then(
      () => {
        void this.#closeSoftly(served, peer);
      },
      (error: unknown) => {
        explainReferenceError(error, this.#callable);
        void this.#closeSoftly(served, peer, { error });
      },
    );
  }

  /** Lets the last words go before the place is free. */
  async #closeSoftly(served: Served, peer: string, failure?: { error: unknown }): Promise<void> {
    try {
      const closing = closeServed(served.socket, false);
      if (closing !== undefined) await closing;
    } catch (error) {
      failure ??= { error };
    }
    if (failure === undefined) this.#end(served, 'completed');
    else this.#fail(served, peer, failure.error);
  }

  /** The signal of the connection that begins, made when asked for. */
  #signal(): AbortSignal {
    const served = this.#beginning as Served;
    return (served.stop ??= new AbortController()).signal;
  }

  #expire(served: Served, peer: string): void {
    const { name } = this.#callable.definition;
    const error = new TimeoutError(
      `${name} ran longer than its timeout of ${String(this.#timeout)} ms, and its connection was closed`,
    );
    served.socket.destroy();
    served.stop?.abort(error);
    this.#fail(served, peer, error);
  }

  #fail(served: Served, peer: string, error: unknown): void {
    if (served.over) return;
    this.#end(served, 'failed');
    if (this.#onError !== undefined) Promise.resolve(this.#onError(encodeFailure(error), peer)).catch(ignore);
  }

  #end(served: Served, how: 'completed' | 'failed'): void {
    if (served.over) return;
    served.over = true;
    clearTimeout(served.timer);
    this.#slots.release(how);
    if (!this.#slots.full) this.#acceptor.resume();
    this.#reports.soon();
  }
}

function ignore(): void {
  // Intentionally empty.
}
