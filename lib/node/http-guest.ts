import { AsyncResource } from 'node:async_hooks';
import { createServer, type IncomingMessage, type RequestListener, Server, type ServerResponse } from 'node:http';
import net, { type AddressInfo, type Socket } from 'node:net';
import { whileLoading } from '../callable.js';
import { show } from '../options.js';
import { aborted, leaveSignalsToParent, listen, type OwnAddress, type Report, Reports } from './preforked-guest.js';
import { noCounts, type ServerStats, Slots } from './slots.js';

/** Bounds of one process. */
export interface Settings {
  backlog: number;
  concurrency: number;
  maxPending: number;
  headersTimeout: number;
  requestTimeout: number;
  keepAliveTimeout: number;
  maxHeaderSize: number;
}

/** Silent connections that are kept in mind, closed ones included. */
const FEW_SILENT = 64;
/** ms that connections without a request are kept when the server closes: their clients may just be sending one. */
const IDLE_GRACE_MS = 200;
/** The same, at most, where a successor goes on serving and connections would be kept for ever. */
const PATIENCE_MS = 5000;
/** Newer versions of Node keep a connection for so many ms longer than they say. */
const KEEP_ALIVE_SLACK_MS = 1000;

/**
 * Serves an application until `drain` is aborted and the last request answered.
 *
 * @param where - the handle of an address that the parent has bound, or an address to bind here
 * @param drain - aborted when the process is to accept no more; connections without a request are kept for as long as their
 * clients were told, and told to make another one with the next answer
 * @param hurry - aborted when nobody serves after it, so that there is nothing to keep them for
 * @param report - told when the process listens and where, and of its counts as they change
 */
export async function serve(
  where: object | OwnAddress,
  app: string,
  settings: Settings,
  drain: AbortSignal,
  hurry: AbortSignal,
  report: Report,
): Promise<ServerStats> {
  leaveSignalsToParent();
  const listener = await Promise.race([listenerOf(app), aborted(drain)]);
  // Its module may never come to an end.
  if (listener === undefined) return noCounts();
  const { headersTimeout, requestTimeout, keepAliveTimeout, maxHeaderSize } = settings;
  const server = createServer({
    headersTimeout,
    requestTimeout,
    keepAliveTimeout,
    maxHeaderSize,
    connectionsCheckingInterval: 1000,
  });
  const gate = new RequestGate(listener, settings, (counts) => report(counts, server.address() as AddressInfo));
  server.on('connection', (socket) => {
    gate.open(socket);
  });
  server.on('request', (request, response) => {
    gate.enter(request, response);
  });
  await listen(server, where, settings.backlog);
  gate.reports.now();
  await aborted(drain);
  gate.drain();
  await close(server, gate, (keepAliveTimeout || PATIENCE_MS) + KEEP_ALIVE_SLACK_MS, hurry);
  return gate.counts();
}

/** A request, and the response to it. */
interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Whether it holds a place. */
  begun: boolean;
  over: boolean;
  /** Where it came from, for one that had to wait: what follows its request is not to be taken for a part of another. */
  context: AsyncResource | undefined;
}

/** Lets no more requests be handled at once than there are places. */
class RequestGate {
  readonly #slots: Slots<Exchange>;
  readonly reports: Reports;
  /** Connections on which no request has come, and some that have closed since. */
  readonly #silent = new Set<Socket>();
  /** How many there may be before those that have closed are dropped: to listen to each costs a part of a request. */
  #mostSilent = FEW_SILENT;
  /** Those whose responses are not through. */
  readonly #open = new Set<Exchange>();
  /** While it drains, the last exchange of each connection so far. */
  #last: WeakMap<Socket, Exchange> | undefined;
  /** Pipelined requests whose responses are in line, by connection: Node 20 tells those nothing when it closes. */
  readonly #inLine = new Map<Socket, Exchange[]>();

  constructor(listener: RequestListener, settings: Settings, report: (counts: ServerStats) => unknown) {
    this.reports = new Reports(() => report(this.counts()));
    this.#slots = new Slots(
      () => settings.concurrency,
      settings.maxPending,
      (exchange) => {
        exchange.begun = true;
        const { request, response, context } = exchange;
        // Its client may have gone while it waited.
        if (response.destroyed) this.#end(exchange);
        else if (context === undefined) listener(request, response);
        else context.runInAsyncScope(listener, undefined, request, response);
      },
    );
  }

  /** The connections on which nothing has come yet. */
  silent(): Socket[] {
    return [...this.#silent].filter(({ bytesRead, destroyed }) => bytesRead === 0 && !destroyed);
  }

  open(socket: Socket): void {
    if (this.#silent.size >= this.#mostSilent) {
      for (const other of this.#silent) if (other.destroyed) this.#silent.delete(other);
      this.#mostSilent = Math.max(FEW_SILENT, this.#silent.size * 2);
    }
    this.#silent.add(socket);
  }

  enter(request: IncomingMessage, response: ServerResponse): void {
    this.#silent.delete(request.socket);
    const exchange: Exchange = { request, response, begun: false, over: false, context: undefined };
    this.#open.add(exchange);
    if (this.#last !== undefined) this.#announceEnd(exchange, this.#last);
    response.on('close', () => {
      this.#over(exchange);
    });
    if (response.socket === null) this.#watch(exchange);
    if (!this.#slots.enter(exchange)) {
      response.writeHead(503, { 'Retry-After': '1', 'Content-Type': 'text/plain' });
      response.end('The server is busy; try again in a second.\n');
    } else if (!exchange.begun && !exchange.over) exchange.context = new AsyncResource('WaitingRequest');
    this.reports.soon();
  }

  /** Whether a response is not through, be it that it only has to leave. */
  get isOpen(): boolean {
    return this.#open.size > 0;
  }

  /** From now on clients are told with each response that their next request needs another connection. */
  drain(): void {
    this.#last = new WeakMap();
    for (const exchange of this.#open) this.#announceEnd(exchange, this.#last);
  }

  /** Not among requests that were sent ahead: the connection would close after the first one that says so. */
  #announceEnd(exchange: Exchange, last: WeakMap<Socket, Exchange>): void {
    const { request, response } = exchange;
    const before = last.get(request.socket);
    last.set(request.socket, exchange);
    if (before?.over === false) {
      if (!before.response.headersSent) before.response.removeHeader('Connection');
    } else if (!response.headersSent) response.setHeader('Connection', 'close');
  }

  /** Notices the end of a connection for a response that does not have it yet. */
  #watch(exchange: Exchange): void {
    const { socket } = exchange.request;
    const inLine = this.#inLine.get(socket);
    if (inLine !== undefined) {
      inLine.push(exchange);
      return;
    }
    const exchanges = [exchange];
    this.#inLine.set(socket, exchanges);
    socket.on('close', () => {
      this.#inLine.delete(socket);
      for (const each of exchanges) this.#over(each);
    });
  }

  counts(): ServerStats {
    return this.#slots.counts();
  }

  /** The response is through, or its connection gone. */
  #over(exchange: Exchange): void {
    if (exchange.over) return;
    exchange.over = true;
    this.#open.delete(exchange);
    const inLine = this.#inLine.get(exchange.request.socket);
    if (inLine?.includes(exchange) === true) inLine.splice(inLine.indexOf(exchange), 1);
    if (exchange.begun) this.#end(exchange);
    // One that was turned away is not in line, and never had a place.
    else if (this.#slots.leave(exchange)) this.reports.soon();
  }

  #end(exchange: Exchange): void {
    exchange.begun = false;
    const { response } = exchange;
    this.#slots.release(response.writableFinished && response.statusCode < 500 ? 'completed' : 'failed');
    this.reports.soon();
  }
}

/**
 * Stops accepting and waits for the last request.
 *
 * @param patience - ms that connections without a request are kept, unless it hurries
 */
async function close(server: Server, gate: RequestGate, patience: number, hurry: AbortSignal): Promise<void> {
  const closed = new Promise((resolve) => {
    // The method of net.Server: that of http.Server cuts off connections on which a request may just be arriving.
    net.Server.prototype.close.call(server, resolve);
  });
  const end = performance.now() + patience;
  let silent: Socket[] = [];
  const idle = setInterval(() => {
    if (!hurry.aborted && performance.now() < end) return;
    // After what has arrived is read: a busy process finds requests on connections that only looked idle.
    setImmediate(() => {
      // To Node, one is idle whose response was ended and has yet to leave. Until none is left, idle ones have their own time.
      if (!gate.isOpen) server.closeIdleConnections();
      // To Node, one on which nothing has come yet is not idle: its headers may come until their time is over. One that
      // was accepted just now may have its request behind it.
      for (const socket of silent) if (socket.bytesRead === 0) socket.destroy();
      silent = gate.silent();
    });
  }, IDLE_GRACE_MS);
  await closed;
  clearInterval(idle);
}

type FetchHandler = (request: Request) => unknown;

/** What the application's module gives, as a request listener. */
async function listenerOf(url: string): Promise<RequestListener> {
  const module = await whileLoading(
    url,
    () => true,
    () => import(url) as Promise<{ default?: unknown }>,
  );
  const app: unknown = await defaultOf(module);
  if (typeof app === 'function') {
    // A request listener takes a response, as Express's and Hono's node adapter do; a fetch handler returns one.
    return app.length >= 2 || isExpress(app) ? (app as RequestListener) : fromFetch(app as FetchHandler, url);
  }
  if (typeof app === 'object' && app !== null) {
    const { fetch, callback, ready, server } = app as Record<string, unknown>;
    if (typeof fetch === 'function') return fromFetch(fetch.bind(app) as FetchHandler, url);
    if (typeof callback === 'function') return callback.call(app) as RequestListener;
    if (typeof ready === 'function' && server instanceof Server) {
      // Fastify routes what its own server gets.
      await (ready as () => Promise<unknown>).call(app);
      return (request, response) => server.emit('request', request, response);
    }
  }
  throw new TypeError(
    `The default export of ${url} must be a request listener, an application of Express, Koa, Fastify or Hono, ` +
      `or a fetch handler: it is ${app === null ? 'null' : typeof app}`,
  );
}

/** CommonJS that was compiled from a module has its default export a level deeper. */
function defaultOf({ default: given }: { default?: unknown }): unknown {
  const inner = given as { __esModule?: unknown; default?: unknown } | null | undefined;
  return typeof inner === 'object' && inner?.__esModule === true ? inner.default : given;
}

function isExpress(app: object): boolean {
  return typeof (app as { handle?: unknown }).handle === 'function';
}

async function fromFetch(handler: FetchHandler, url: string): Promise<RequestListener> {
  const { createRequestListener } = await import('@remix-run/node-fetch-server');
  return (incoming, outgoing) => {
    let request: Request | undefined;
    const listener = createRequestListener(
      // Async, for a handler that is not may return what is no response, and the listener would take that for a promise.
      async (given) => {
        request = given;
        const response = checkResponse(await handler(given), url);
        // What is not sent is let go: whoever produces it would go on for ever.
        if (given.signal.aborted || incoming.method === 'HEAD') response.body?.cancel().catch(ignore);
        return response;
      },
      {
        onError: (error) => {
          // What is no request to the handler, such as one with nonsense for a host, is its client's fault.
          if (request === undefined) return new Response('Bad Request', { status: 400 });
          console.error(error);
          return undefined;
        },
      },
    );
    outgoing.on('finish', () => {
      if (!incoming.complete) dropBody(incoming, request);
    });
    toOriginForm(incoming);
    listener(incoming, outgoing);
  };
}

/** Reads to its end a body that nobody wants: only then the next request of the connection is there. */
function dropBody(incoming: IncomingMessage, request: Request | undefined): void {
  if (request?.bodyUsed === false && request.body?.locked === false) request.body.cancel().catch(ignore);
  if (incoming.listenerCount('data') === 0) incoming.resume();
}

/** As it is sent to a server that is no proxy: one has to take the absolute form, too (RFC 9112, 3.2.2). */
function toOriginForm(incoming: IncomingMessage): void {
  const { url = '' } = incoming;
  if (url.startsWith('/') || !URL.canParse(url)) return;
  const { host, pathname, search } = new URL(url);
  incoming.headers.host = host;
  incoming.url = pathname + search;
}

function ignore(): void {
  // Intentionally empty.
}

/** Before anything of it is sent: later, all that is left is to break the connection off. */
function checkResponse(given: unknown, url: string): Response {
  // That of another package is one too.
  const response = given as Partial<Response> | null | undefined;
  if (typeof response !== 'object' || response === null || typeof response.headers !== 'object') {
    throw new TypeError(`The fetch handler of ${url} must return a Response: it returned ${show(given)}`);
  }
  if (response.bodyUsed === true || response.body?.locked === true) {
    throw new TypeError(
      `The fetch handler of ${url} returned a Response whose body has been read: make one for each request, or return a clone()`,
    );
  }
  return response as Response;
}
