/**
 * The one file that imports comlink. From ESM, Node resolves it to comlink's UMD build; importing any other file of that
 * package would load a second copy with other symbols.
 */
import * as Comlink from 'comlink';
import type { GuestApi } from './wire/protocol.js';

/** Anything that messages can be posted to and listened for on: a port, a worker, the global scope of one. */
export interface Endpoint {
  postMessage(message: unknown, transfer?: unknown[]): void;
  addEventListener(type: string, listener: (event: never) => void): void;
  removeEventListener(type: string, listener: (event: never) => void): void;
  start?(): void;
}

/** Encodes values of one kind for the wire; Comlink's own interface. */
export interface TransferHandler<T, S> {
  /** True for the values that this handler is for. */
  canHandle(value: unknown): boolean;
  /** Gives what can be cloned, and what of it is moved. */
  serialize(value: T): [S, unknown[]];
  /** Makes the value on the other side. */
  deserialize(value: S): T;
}

/**
 * Comlink's own map of transfer handlers: add one on both sides to have values of a class of yours sent in a form of your
 * choice, as an argument or as a result.
 */
export const transferHandlers = Comlink.transferHandlers as unknown as Map<string, TransferHandler<never, unknown>>;

const transfers = new WeakMap<object, unknown[]>();

/**
 * Moves parts of a value to the other side instead of copying them; they are unusable here afterwards.
 *
 * @param value - an argument or a result that contains them
 * @param list - what is moved: array buffers, message ports, streams
 * @returns the same value
 *
 * @example
 * ```ts
 * import { ThreadPoolExecutor, transfer } from 'concurrent-futures';
 *
 * const executor = new ThreadPoolExecutor();
 * const image = new Uint8Array(1_000_000);
 * console.log(await executor.submit((bytes: Uint8Array) => bytes.length, transfer(image, [image.buffer])));
 * ```
 */
export function transfer<T extends object>(value: T, list: object[]): T {
  transfers.set(value, list);
  // Comlink keeps a map of its own, for the calls that go through it.
  return Comlink.transfer(value, list as never[]);
}

/**
 * Passes a function or an object by reference: the other side gets a Comlink proxy, whose calls run here.
 *
 * @example
 * ```ts
 * import { proxy, ThreadPoolExecutor } from 'concurrent-futures';
 *
 * const executor = new ThreadPoolExecutor();
 * const work = async (report: (percent: number) => void) => { await report(50); return 'done'; };
 * console.log(await executor.submit(work, proxy((percent: number) => console.log(percent))));
 * ```
 */
export function proxy<T extends object>(value: T): T {
  return Comlink.proxy(value);
}

/** The call that sets a guest to work. Whoever calls this keeps the result: a collected proxy would release the endpoint. */
export function wrapGuest(endpoint: Endpoint): GuestApi['serve'] {
  const remote = Comlink.wrap<GuestApi>(endpoint as never);
  const serve = remote.serve;
  return (config) => serve(Comlink.transfer(config, [config.port as never]));
}

/** Offers a guest's API to the host. */
export function exposeGuest(api: GuestApi, endpoint: Endpoint): void {
  Comlink.expose(api, endpoint as never);
}

/** A value as it goes over the wire. */
export interface WireValue {
  value: unknown;
  /** The transfer handler that encoded it; undefined for a value that is cloned as it is. */
  handler: string | undefined;
  transfer: readonly unknown[];
}

/** Whether a value needs more than cloning. */
export function needsEncoding(value: unknown): boolean {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return false;
  for (const [name, handler] of transferHandlers) {
    if (name !== 'throw' && handler.canHandle(value)) return true;
  }
  return transfers.has(value);
}

/** Encodes a value that needs more than cloning; undefined for all others, which is nearly all. */
export function encodeValue(value: unknown): WireValue | undefined {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return undefined;
  for (const [name, handler] of transferHandlers) {
    // 'throw' marks what was thrown in Comlink's own answers; no value of a user is one.
    if (name === 'throw' || !handler.canHandle(value)) continue;
    const [encoded, moved] = handler.serialize(value as never);
    return { value: encoded, handler: name, transfer: moved };
  }
  const list = transfers.get(value);
  return list === undefined ? undefined : { value, handler: undefined, transfer: list };
}

/** Makes a value that a handler encoded. */
export function decodeValue(handler: string, encoded: unknown): unknown {
  const found = transferHandlers.get(handler);
  if (found === undefined) {
    throw new TypeError(
      `No transfer handler '${handler}' on this side: add it to transferHandlers in the worker as well as here`,
    );
  }
  return found.deserialize(encoded);
}
