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
/** ms that connections without a request are kept when the server drains: their clients may just be sending one. */
const IDLE_GRACE_MS = 200;

/**
 * Serves an application until `drain` is aborted and the last request answered.
 *
 * @param where - the handle of an address that the parent has bound, or an address to bind here
 * @param report - told when the process listens and where, and of its counts as they change
 */
export async function serve(
  where: object | OwnAddress,
  app: string,
  settings: Settings,
  drain: AbortSignal,
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
  const gate = new RequestGate(listener, settings, drain, (counts) => report(counts, server.address() as AddressInfo));
  server.on('connection', (socket) => {
    gate.open(socket);
  });
  server.on('request', (request, response) => {
    gate.enter(request, response);
  });
  await listen(server, where, settings.backlog);
  gate.reports.now();
  await aborted(drain);
  await close(server, gate);
  return gate.counts();
}

/** A request, and the response to it. */
interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Whether it holds a place. */
  begun: boolean;
  over: boolean;
}

/** Lets no more requests be handled at once than there are places. */
class RequestGate {
  readonly #slots: Slots<Exchange>;
  readonly #drain: AbortSignal;
  readonly reports: Reports;
  /** Connections on which no request has come, and some that have closed since. */
  readonly #silent = new Set<Socket>();
  /** How many there may be before those that have closed are dropped: to listen to each costs a part of a request. */
  #mostSilent = FEW_SILENT;
  /** Pipelined requests whose responses are in line, by connection: Node 20 tells those nothing when it closes. */
  readonly #inLine = new Map<Socket, Exchange[]>();

  constructor(
    listener: RequestListener,
    settings: Settings,
    drain: AbortSignal,
    report: (counts: ServerStats) => unknown,
  ) {
    this.#drain = drain;
    this.reports = new Reports(() => report(this.counts()));
    this.#slots = new Slots(
      () => settings.concurrency,
      settings.maxPending,
      (exchange) => {
        exchange.begun = true;
        const { request, response } = exchange;
        // Its client may have gone while it waited.
        if (response.destroyed) this.#end(exchange);
        else listener(request, response);
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
    // The client is told before this process goes that the next request needs another connection.
    if (this.#drain.aborted) response.setHeader('Connection', 'close');
    const exchange: Exchange = { request, response, begun: false, over: false };
    response.on('close', () => {
      this.#over(exchange);
    });
    if (response.socket === null) this.#watch(exchange);
    if (!this.#slots.enter(exchange)) {
      response.writeHead(503, { 'Retry-After': '1', 'Content-Type': 'text/plain' });
      response.end('The server is busy; try again in a second.\n');
    }
    this.reports.soon();
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

/** Stops accepting and waits for the last request. */
async function close(server: Server, gate: RequestGate): Promise<void> {
  const closed = new Promise((resolve) => {
    // The method of net.Server: that of http.Server cuts off connections on which a request may just be arriving.
    net.Server.prototype.close.call(server, resolve);
  });
  let silent: Socket[] = [];
  const idle = setInterval(() => {
    // After what has arrived is read: a busy process finds requests on connections that only looked idle.
    setImmediate(() => {
      server.closeIdleConnections();
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
  const app: unknown = await module.default;
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

function isExpress(app: object): boolean {
  return typeof (app as { handle?: unknown }).handle === 'function';
}

async function fromFetch(handler: FetchHandler, url: string): Promise<RequestListener> {
  const { createRequestListener } = await import('@remix-run/node-fetch-server');
  // Async, for one that is not may return what is no response, and the listener would take that for a promise.
  return createRequestListener(async (request) => checkResponse(await handler(request), url));
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
