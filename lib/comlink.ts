/* eslint-disable @typescript-eslint/no-unnecessary-type-assertion -- needed under DOM types, and superfluous without them */
/**
 * What this package wants of comlink. Each platform says how to come by it, and by the same copy as its users: another file
 * of that package would be a second one with other symbols.
 */
import type { Remote } from 'comlink';
import { Comlink } from '#comlink';
import { platformHandlers } from '#handlers';
import type { RemoteObject } from './executor.js';
import { decodeError, encodeError, type WireError } from './wire/errors.js';
import { ExposedEndpoint, GuardedEndpoint, type PortLike } from './wire/guarded-endpoint.js';
import { commonHandlers } from './wire/handlers.js';
import type { GuestApi, ServeConfig } from './wire/protocol.js';
import { atTaskEnd, collectDisposers, type Disposer } from './wire/scope.js';

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
 *
 * @example
 * ```ts
 * import { transferHandlers } from 'concurrent-futures';
 *
 * class Point { constructor(readonly x: number, readonly y: number) {} }
 * transferHandlers.set('point', {
 *   canHandle: (value) => value instanceof Point,
 *   serialize: ({ x, y }: Point) => [[x, y], []],
 *   deserialize: ([x, y]: [number, number]) => new Point(x, y),
 * });
 * ```
 */
export const transferHandlers = Comlink.transferHandlers as unknown as Map<string, TransferHandler<unknown, unknown>>;
const handlers = transferHandlers;

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
 * Passes a function or an object by reference: the other side gets a Comlink proxy, whose calls run here. As an argument it
 * is let go when the task has ended.
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
export function wrapGuest(endpoint: Endpoint): (config: ServeConfig, moved?: readonly unknown[]) => Promise<void> {
  const remote = Comlink.wrap<GuestApi>(endpoint as never);
  const serve = remote.serve;
  return (config, moved = []) => {
    const all = config.port === undefined ? moved : [config.port, ...moved];
    return serve((all.length === 0 ? config : Comlink.transfer(config, all as never[])) as never);
  };
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

const isReference = (value: unknown): value is object =>
  (typeof value === 'object' && value !== null) || typeof value === 'function';

/** Whether a handler takes it. Of nearly all values none does: hence no names here, for which a map makes objects. */
function isHandled(value: object): boolean {
  // It marks what was thrown in Comlink's own answers; no value of a user is one.
  const marksThrown = handlers.get('throw');
  for (const handler of handlers.values()) if (handler !== marksThrown && handler.canHandle(value)) return true;
  return false;
}

/** Whether a value needs more than cloning. */
export function needsEncoding(value: unknown): boolean {
  if (!isReference(value)) return false;
  try {
    return isHandled(value) || transfers.has(value);
  } catch {
    // A value that cannot even be asked, such as a revoked proxy: it is refused when it is encoded.
    return true;
  }
}

/** Encodes a value that needs more than cloning; undefined for all others, which is nearly all. */
export function encodeValue(value: unknown): WireValue | undefined {
  if (!isReference(value)) return undefined;
  if (isHandled(value)) return encodeHandled(value);
  const list = transfers.get(value);
  if (list === undefined) return undefined;
  for (const entry of list) {
    // A buffer that is gone already would be posted, and could not be read on the other side. Only a view of it tells.
    if (entry instanceof ArrayBuffer && entry.byteLength === 0) new Uint8Array(entry);
  }
  return { value, handler: undefined, transfer: list };
}

function encodeHandled(value: object): WireValue {
  let chosen: string | undefined;
  for (const [name, handler] of handlers) {
    if (name === 'throw' || (chosen !== undefined && own.has(name)) || !handler.canHandle(value)) continue;
    chosen = name;
    // A handler of the user's goes before those of this package, which may be for a base class.
    if (!own.has(name)) break;
  }
  const [encoded, moved] = (handlers.get(chosen as string) as TransferHandler<unknown, unknown>).serialize(value);
  return { value: encoded, handler: chosen, transfer: moved };
}

/**
 * Makes a value that a handler encoded.
 *
 * @param disposers - takes what has to be let go when the task ends; undefined for results
 */
export function decodeValue(name: string, encoded: unknown, disposers?: Disposer[]): unknown {
  const handler = handlers.get(name);
  if (handler === undefined) {
    throw new TypeError(
      `No transfer handler '${name}' on this side: add it to transferHandlers in the worker as well as here`,
    );
  }
  return collectDisposers(disposers, () => handler.deserialize(encoded));
}

/** Lets go of what `encodeValue` made, on either side, for a task that is not run. */
export function discardValue(name: string, encoded: unknown): void {
  const handler: (TransferHandler<unknown, unknown> & { discard?(encoded: unknown): void }) | undefined =
    handlers.get(name);
  if (handler?.discard !== undefined) {
    handler.discard(encoded);
    return;
  }
  // Most of what needs to be let go is a port, or has one.
  const port: unknown = (encoded as { port?: unknown } | undefined)?.port ?? encoded;
  if (port instanceof MessagePort) port.close();
}

/** Exposes an object of this side on a port of its own. @returns the other end */
export function exposeObject(object: object): unknown {
  const { port1, port2 } = new MessageChannel() as unknown as { port1: PortLike; port2: PortLike };
  Comlink.expose(object, new ExposedEndpoint(port1, throwOver) as never);
  return port2;
}

/** The calling side of an exposed object: a Comlink proxy all of whose calls are answered. */
function wrapPort(port: unknown, over?: () => void): { remote: Remote<object>; endpoint: GuardedEndpoint } {
  const endpoint = new GuardedEndpoint(port as PortLike, throwOver, over);
  return { remote: Comlink.wrap<object>(endpoint as never), endpoint };
}

/** What console.log of Node asks an object for. */
const INSPECT = Symbol.for('nodejs.util.inspect.custom');

/**
 * A handle to an object that lives in a worker, and what is to be called when that has ended where ports do not tell.
 *
 * @param gone - is called once, when it is let go or has died
 */
export function wrapRemoteObject<T>(port: unknown, gone: () => void): { object: RemoteObject<T>; end: () => void } {
  const { remote, endpoint } = wrapPort(port, gone);
  const end = () => {
    endpoint.close();
  };
  return { object: remoteObject(remote, endpoint) as RemoteObject<T>, end };
}

/** Apart from the above: who is to call `end` must not hold the object, which then could not be dropped. */
function remoteObject(remote: Remote<object>, endpoint: GuardedEndpoint): object {
  const release = () => {
    endpoint.abandon();
  };
  // Of an empty object, and not of Comlink's proxy: loggers look at what is behind a proxy, and every look there is a call.
  return new Proxy(Object.create(null) as object, {
    get(_target, key) {
      // Not a promise, although Comlink's proxies answer to everything.
      if (key === 'then') return undefined;
      if (key === 'release' || key === Symbol.dispose) return release;
      if (key === INSPECT) return () => 'RemoteObject {}';
      // To look at it is no call: what the language or a logger asks of an object is asked by symbols.
      if (typeof key === 'symbol') return undefined;
      return readRemote(remote, key);
    },
  });
}

/** Symbols that mean something to Comlink. */
const COMLINK_SYMBOLS: readonly PropertyKey[] = [Comlink.createEndpoint, Comlink.finalizer];

/**
 * A property of a Comlink proxy. Symbols are no names on the other side; what asks for one (`console.log`, an assertion)
 * would make a call of it whose rejection nobody handles.
 */
function readRemote(target: object, key: PropertyKey): unknown {
  if (typeof key === 'symbol' && !COMLINK_SYMBOLS.includes(key)) return undefined;
  return (target as Record<PropertyKey, unknown>)[key];
}

/** Comlink's handler of what was thrown; its `canHandle` knows the mark. */
const thrown = handlers.get('throw') as TransferHandler<unknown, { value: unknown; whole?: WireError }>;

/** Errors that cross in Comlink's answers keep what they are. The rest is Comlink's own form, for sides without this package. */
const throwHandler: TransferHandler<unknown, unknown> = {
  canHandle: (value) => thrown.canHandle(value),
  serialize: (value) => {
    const error = (value as { value: unknown }).value;
    const isError = error instanceof Error;
    const plain = isError ? { message: error.message, name: error.name, stack: error.stack } : undefined;
    return [{ isError, value: plain, whole: encodeError(error) }, []];
  },
  deserialize: (wire) => {
    const { whole } = wire as { whole?: WireError };
    if (whole === undefined) return thrown.deserialize(wire as never);
    throw decodeError(whole);
  },
};

/** The message of Comlink's that rejects a call. */
export function throwOver(error: unknown): object {
  return { type: 'HANDLER', name: 'throw', value: { isError: true, value: undefined, whole: encodeError(error) } };
}

/** What is passed by reference: the other side gets a Comlink proxy that is let go when its task ends. */
const proxyHandler: TransferHandler<unknown, unknown> = {
  canHandle: (value) => (value as { [Comlink.proxyMarker]?: unknown })?.[Comlink.proxyMarker] === true,
  serialize: (value) => {
    const port = exposeObject(value as object);
    return [port, [port]];
  },
  deserialize: (port) => {
    const { remote, endpoint } = wrapPort(port);
    atTaskEnd(() => {
      endpoint.release();
    });
    const target = remote as unknown as (...args: unknown[]) => unknown;
    // Of a function of its own, for the reason given above.
    return new Proxy(
      function proxied() {
        // Only something that can be called and constructed.
      },
      {
        apply(_target, self, args: unknown[]) {
          const answer = Reflect.apply(target, self, args);
          // A timer that outlives its task goes on reporting: no reason to end the worker by an unhandled rejection.
          if (endpoint.over && answer instanceof Promise) answer.catch(() => undefined);
          return answer;
        },
        construct: (_target, args: unknown[]) => Reflect.construct(target, args) as object,
        set: (_target, key, value) => Reflect.set(target, key, value),
        get(_target, key) {
          if (key === INSPECT) return undefined;
          if (key === Comlink.releaseProxy) {
            return () => {
              endpoint.abandon();
            };
          }
          return readRemote(remote, key);
        },
      },
    );
  },
};

/** Comlink has one map of handlers for all copies of this package: of a bundler's and Node's, say. The first one here stays. */
const MARK = Symbol.for('concurrent-futures:handlers');
if (!(MARK in handlers)) {
  Object.defineProperty(handlers, MARK, { value: true });
  handlers.set('throw', throwHandler);
  handlers.set('proxy', proxyHandler);
}

/** The names of the handlers that users did not add. */
const own = new Set(['proxy']);

for (const [name, handler] of [...commonHandlers, ...platformHandlers]) {
  if (handlers.has(name)) continue;
  own.add(name);
  handlers.set(name, handler);
}
