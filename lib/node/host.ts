import { availableParallelism } from 'node:os';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { MessageChannel, receiveMessageOnPort, Worker, type WorkerOptions } from 'node:worker_threads';
import type { Endpoint } from '../comlink.js';
import type { Backend, Connection, ConnectionEvents, HandledValue } from '../pool/backend.js';
import type { RecordableHistogram } from '../pool/durations.js';
import { OWN_FOLDER } from '../site.js';
import { clearOwnTimeout, setOwnTimeout } from '../timeouts.js';
import { END, PORTS } from '../wire/protocol.js';
import { encodeMoved } from './moved-socket.js';
import { PortMux } from './port-mux.js';
import { LINGER_MS } from './served-socket.js';
import { encodeServed } from './stream-bridge.js';

export { now } from './clock.js';

/** Whether a message port tells that the thread of its other side has ended, or has closed it. */
export function portsTell(): boolean {
  return true;
}

/** How a worker of one's own is given: its file, or a function that makes it. */
export type WorkerSource<W> = string | URL | (() => W);

/** Workers of a pool that is told nothing about its size. */
export function parallelism(): number {
  return availableParallelism();
}

/** A histogram of whole numbers with an error of 1 %, in some 30 KB. */
export function createHistogram(): RecordableHistogram {
  // Loaded when first needed: programs start faster without it.
  const { createHistogram } = process.getBuiltinModule('node:perf_hooks');
  return createHistogram({ lowest: 1, highest: 2 ** 42, figures: 2 });
}

/** The file of the code that called this package; undefined when it is none, as in a REPL. */
export function callerFile(): string | undefined {
  for (const frame of callers()) {
    const file = frame.getFileName();
    if (typeof file !== 'string' || file.startsWith('node:')) continue;
    const isPath = file.startsWith('/') || /^[A-Za-z]:\\/.test(file);
    const url = isPath ? pathToFileURL(file).href : file;
    if (!url.startsWith('file:')) return undefined;
    if (OWN_FOLDER === undefined || !url.startsWith(OWN_FOLDER)) return url;
  }
  return undefined;
}

/** Structured frames, because the text of a stack names other files where source maps are on. None where `Error` is frozen. */
function callers(): NodeJS.CallSite[] {
  if (Object.isFrozen(Error)) return [];
  // eslint-disable-next-line @typescript-eslint/unbound-method -- only put back
  const { prepareStackTrace } = Error;
  let frames: NodeJS.CallSite[] = [];
  try {
    Error.prepareStackTrace = (_error, sites) => {
      frames = sites;
      return '';
    };
    // Reading the stack is what calls the function above.
    String(new Error().stack);
  } finally {
    if (prepareStackTrace === undefined) delete (Error as Partial<ErrorConstructor>).prepareStackTrace;
    else Error.prepareStackTrace = prepareStackTrace;
  }
  return frames;
}

/** That of the bundle, also where this file is none of it: one copy for the worker and for whatever its tasks import. */
const MAIN = new URL('../bundle/worker-main.js', import.meta.url);

/** Worker threads. */
export function threadBackend(source: WorkerSource<unknown> | undefined, options: object | undefined): Backend {
  return {
    sharedMemory: true,
    start: (name, events) => new ThreadConnection(makeWorker(source, name, options as WorkerOptions), events),
  };
}

function makeWorker(source: WorkerSource<unknown> | undefined, name: string, options: WorkerOptions): Worker {
  if (typeof source === 'function') {
    const made = source();
    if (made instanceof Worker) return made;
    throw new TypeError("'worker' must give a Worker of node:worker_threads");
  }
  return new Worker(source === undefined ? MAIN : toFile(source), { name, ...options });
}

function toFile(source: string | URL): string | URL {
  return typeof source === 'string' && source.startsWith('file:') ? fileURLToPath(source) : source;
}

/** ms that a thread that has nothing to do is given to end by itself. */
const GRACE_MS = 1000;

class ThreadConnection implements Connection {
  readonly endpoint: Endpoint;
  readonly guestPort: unknown;
  readonly sent = undefined;
  readonly #worker: Worker;
  readonly #port: MessageChannel['port1'];
  readonly #events: ConnectionEvents;
  /** Of the sockets that are bridged to the thread. */
  readonly #ports: PortMux;
  #ending: ReturnType<typeof setOwnTimeout> | undefined;

  constructor(worker: Worker, events: ConnectionEvents) {
    const { port1, port2 } = new MessageChannel();
    this.#worker = worker;
    this.#port = port1;
    this.#events = events;
    this.guestPort = port2;
    this.endpoint = endpointOf(worker);
    this.#ports = new PortMux(false, (message, transfer) => {
      port1.postMessage(message, transfer);
    });
    port1.on('message', (data: unknown) => {
      this.#receive(data);
    });
    port1.on('messageerror', () => {
      events.unreadable();
    });
    worker.on('error', (error) => {
      events.error(error);
    });
    worker.once('exit', (exitCode) => {
      events.exit({ exitCode });
      port1.close();
      this.#ports.close();
    });
  }

  encode(value: unknown): HandledValue | undefined {
    return encodeMoved(value) ?? encodeServed(value, this.#ports);
  }

  post(message: unknown, transfer: readonly unknown[]): void {
    this.#ports.keepOrder();
    this.#port.postMessage(message, transfer as never[]);
  }

  postSoon(message: unknown[]): void {
    this.#ports.carry(message);
  }

  drain(): void {
    for (let got = receiveMessageOnPort(this.#port); got !== undefined; got = receiveMessageOnPort(this.#port)) {
      this.#receive(got.message);
    }
  }

  #receive(data: unknown): void {
    if (Array.isArray(data) && data[0] === PORTS) this.#ports.receive(data);
    else this.#events.message(data);
  }

  ref(): void {
    this.#worker.ref();
    this.#port.ref();
  }

  unref(): void {
    this.#worker.unref();
    this.#port.unref();
  }

  end(): void {
    this.#port.postMessage([END]);
    // One that cannot, because its thread is blocked, is ended.
    this.#endAfter(GRACE_MS);
  }

  letLinger(): void {
    clearOwnTimeout(this.#ending);
    this.#endAfter(LINGER_MS + GRACE_MS);
  }

  #endAfter(ms: number): void {
    const timer = setOwnTimeout(() => {
      this.terminate();
    }, ms);
    this.#ending = timer;
    this.#worker.once('exit', () => {
      clearOwnTimeout(timer);
    });
  }

  terminate(): void {
    // Not within whatever decided it: in Deno the worker has ended, and says so, before this call returns.
    void Promise.resolve().then(() => this.#worker.terminate());
  }
}

/** A worker as Comlink wants it: a thread's `message` events carry the bare data. */
function endpointOf(worker: Worker): Endpoint {
  const listeners = new Map<unknown, (data: unknown) => void>();
  return {
    postMessage: (message, transfer) => {
      worker.postMessage(message, transfer as never[]);
    },
    addEventListener: (type, listener) => {
      const wrapped = (data: unknown) => {
        listener({ data } as never);
      };
      listeners.set(listener, wrapped);
      worker.on(type as 'message', wrapped);
    },
    removeEventListener: (type, listener) => {
      const wrapped = listeners.get(listener);
      if (wrapped === undefined) return;
      listeners.delete(listener);
      worker.off(type as 'message', wrapped);
    },
  };
}
