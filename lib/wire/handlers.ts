import type { TransferHandler } from '../comlink.js';
import { decodeError, encodeError, type WireError } from './errors.js';
import type { PortLike } from './guarded-endpoint.js';
import { atTaskEnd, keptStream } from './scope.js';

/** A handler under the name that both sides know it by. */
export type NamedHandler = [name: string, handler: TransferHandler<unknown, unknown>];

/** What of a signal crosses: how it stands, and a port that tells when it is aborted. */
interface WireSignal {
  reason: WireError | undefined;
  port: PortLike | undefined;
}

/** Those who are told when a signal is aborted: it may have been sent with many tasks, and gets one listener for all. */
interface Audience {
  ports: Set<PortLike>;
  /** Takes the listener off the signal. */
  leave: () => void;
}

const audiences = new WeakMap<AbortSignal, Audience>();

function gatherAudience(signal: AbortSignal): Audience {
  const ports = new Set<PortLike>();
  const tell = () => {
    const reason = encodeError(signal.reason);
    for (const port of ports) {
      port.postMessage(reason);
      port.close();
    }
  };
  signal.addEventListener('abort', tell, { once: true });
  const leave = () => {
    signal.removeEventListener('abort', tell);
    audiences.delete(signal);
  };
  const audience = { ports, leave };
  audiences.set(signal, audience);
  return audience;
}

function tellWhenAborted(signal: AbortSignal, port: PortLike): void {
  const { ports, leave } = audiences.get(signal) ?? gatherAudience(signal);
  ports.add(port);
  const forget = () => {
    if (ports.delete(port) && ports.size === 0) leave();
  };
  port.addEventListener('message', () => {
    forget();
    port.close();
  });
  port.addEventListener('close', forget);
}

/** A live copy of the signal on the other side. Its port is closed when the task has ended. */
const signalHandler: TransferHandler<AbortSignal, WireSignal> = {
  canHandle: (value) => value instanceof AbortSignal,
  serialize: (signal) => {
    if (signal.aborted) return [{ reason: encodeError(signal.reason), port: undefined }, []];
    const { port1, port2 } = new MessageChannel() as unknown as { port1: PortLike; port2: PortLike };
    tellWhenAborted(signal, port1);
    port1.start();
    port1.unref?.();
    return [{ reason: undefined, port: port2 }, [port2]];
  },
  deserialize: ({ reason, port }) => {
    if (port === undefined) return AbortSignal.abort(decodeError(reason as WireError));
    const controller = new AbortController();
    port.addEventListener('message', ({ data }: { data: WireError }) => {
      controller.abort(decodeError(data));
    });
    port.start();
    port.unref?.();
    atTaskEnd(() => {
      // Where ports do not tell that they were closed, this does.
      port.postMessage(undefined);
      port.close();
    });
    return controller.signal;
  },
};

/**
 * Whether a value is of one of these classes. By its tag first: merely to name the class makes Node load all of its kind. It
 * is asked of every object that is an argument or a result, most of which have no tag.
 */
function isTagged<N extends LateClass>(value: unknown, name: N): value is InstanceType<(typeof globalThis)[N]> {
  const tag = (value as { [Symbol.toStringTag]?: unknown } | undefined)?.[Symbol.toStringTag];
  return tag === name && value instanceof globalThis[name];
}

type LateClass = 'ReadableStream' | 'WritableStream' | 'TransformStream' | 'Headers' | 'Request' | 'Response';

/** Things that structured cloning moves when they are listed, so that users need not list them. */
const movedHandler: TransferHandler<object, object> = {
  canHandle: (value) =>
    value instanceof MessagePort ||
    isTagged(value, 'ReadableStream') ||
    isTagged(value, 'WritableStream') ||
    isTagged(value, 'TransformStream'),
  serialize: (value) => [value, [value]],
  deserialize: (value) => {
    if (isTagged(value, 'ReadableStream') || isTagged(value, 'WritableStream')) return keptStream(value);
    return isTagged(value, 'TransformStream') ? keptTransform(value) : value;
  },
};

/** Its halves are what is used of it. */
function keptTransform(stream: TransformStream): TransformStream {
  const { readable, writable } = stream;
  return Object.defineProperties(stream, {
    readable: { value: keptStream(readable), configurable: true },
    writable: { value: keptStream(writable), configurable: true },
  });
}

/** Errors keep more than structured cloning leaves of them. */
const errorHandler: TransferHandler<Error, WireError> = {
  canHandle: (value) => value instanceof Error || value instanceof DOMException,
  serialize: (error) => [encodeError(error), []],
  deserialize: (wire) => decodeError(wire) as Error,
};

const urlHandler: TransferHandler<URL, string> = {
  canHandle: (value) => value instanceof URL,
  serialize: (url) => [url.href, []],
  deserialize: (href) => new URL(href),
};

const headersHandler: TransferHandler<Headers, [string, string][]> = {
  canHandle: (value) => isTagged(value, 'Headers'),
  serialize: (headers) => [[...headers], []],
  deserialize: (entries) => new Headers(entries),
};

interface WireRequest {
  url: string;
  init: Record<string, unknown>;
  body: ReadableStream | null;
  signal: WireSignal;
}

/**
 * The body of a request.
 *
 * @throws DataCloneError where requests do not give theirs out, as in Firefox, and it may have one
 */
function bodyOf({ body, method, url }: Request): ReadableStream | null {
  if (body !== undefined || method === 'GET' || method === 'HEAD') return body ?? null;
  throw new DOMException(
    `A Request cannot be sent with its body here (${method} ${url}): this browser has no Request.body. ` +
      'Send its url, its headers and what its arrayBuffer() gives',
    'DataCloneError',
  );
}

const requestHandler: TransferHandler<Request, WireRequest> = {
  canHandle: (value) => isTagged(value, 'Request'),
  serialize: (request) => {
    const { url, method, headers, cache, credentials, integrity, keepalive, redirect, referrer, referrerPolicy } =
      request;
    const body = bodyOf(request);
    const init = {
      ...{ method, cache, credentials, integrity, keepalive, redirect, referrerPolicy },
      headers: [...headers],
      ...(referrer === 'about:client' ? {} : { referrer }),
    };
    const [signal, ports] = signalHandler.serialize(request.signal);
    return [{ url, init, body, signal }, body === null ? ports : [...ports, body]];
  },
  deserialize: ({ url, init, body, signal }) =>
    new Request(url, {
      ...init,
      signal: signalHandler.deserialize(signal),
      // A streamed body can only be sent in one direction at a time; fetch wants that said.
      ...(body === null ? {} : { body: keptStream(body), duplex: 'half' }),
    }),
};

interface WireResponse {
  body: ReadableStream | null;
  init: { status: number; statusText: string; headers: [string, string][] };
  url: string;
}

const responseHandler: TransferHandler<Response, WireResponse> = {
  canHandle: (value) => isTagged(value, 'Response'),
  serialize: ({ body, status, statusText, headers, url }) => [
    { body, init: { status, statusText, headers: [...headers] }, url },
    body === null ? [] : [body],
  ],
  deserialize: ({ body, init, url }) => {
    // No response with a status of 0 can be constructed.
    const response = init.status === 0 ? Response.error() : new Response(body && keptStream(body), init);
    // A constructed response has no url; where it came from is part of what it is.
    Object.defineProperty(response, 'url', { value: url, configurable: true });
    return response;
  },
};

/** Values that structured cloning refuses or mutilates, on every platform. */
export const commonHandlers = [
  ['signal', signalHandler],
  ['moved', movedHandler],
  ['url', urlHandler],
  ['headers', headersHandler],
  ['request', requestHandler],
  ['response', responseHandler],
  ['error', errorHandler],
] as unknown as NamedHandler[];
