import type { AddressInfo, ListenOptions, Server } from 'node:net';
import type { ServerStats } from './slots.js';

/** Where a process listens by itself, beside others (`SO_REUSEPORT`). */
export interface OwnAddress {
  port: number;
  host: string | undefined;
}

/** ms after which the parent is told of a change. */
const REPORT_MS = 10;
/** ms between two reports at least: each costs both processes as much as a request. */
const REPORT_AGAIN_MS = 100;

/** Tells the parent of counts as they change, now and then. */
export class Reports {
  readonly #tell: () => unknown;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #last = -Infinity;

  constructor(tell: () => unknown) {
    this.#tell = tell;
  }

  /** They have changed. */
  soon(): void {
    if (this.#timer !== undefined) return;
    const wait = Math.max(REPORT_MS, this.#last + REPORT_AGAIN_MS - performance.now());
    this.#timer = setTimeout(() => {
      this.now();
    }, wait);
  }

  now(): void {
    this.#timer = undefined;
    this.#last = performance.now();
    Promise.resolve(this.#tell()).catch(() => undefined);
  }
}

/** Told where the process listens, and of its counts. */
export type Report = (counts: ServerStats, address: AddressInfo) => unknown;

/** The parent decides when this process ends; signals of a terminal or a process group are for it. */
export function leaveSignalsToParent(): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
}

/**
 * Listens.
 *
 * @param where - the handle of an address that the parent has bound, or an address to bind here
 */
export function listen(server: Server, where: object | OwnAddress, backlog: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    const listening = () => {
      server.off('error', reject);
      resolve();
    };
    if ('port' in where) server.listen({ ...where, backlog, reusePort: true } as ListenOptions, listening);
    else server.listen(where as never, backlog, listening);
  });
}

export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else
      signal.addEventListener(
        'abort',
        () => {
          resolve();
        },
        { once: true },
      );
  });
}
