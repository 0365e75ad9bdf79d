import type { Endpoint } from '../comlink.js';
import type { WorkerDeath } from '../errors.js';
import type { Backend, Connection, ConnectionEvents } from '../pool/backend.js';
import type { RecordableHistogram } from '../pool/durations.js';
import { clearOwnTimeout, setOwnTimeout } from '../timeouts.js';
import { warn } from './diagnostics.js';
import { CLOSED, CONNECTED } from './life-signs.js';

export { now } from './clock.js';

/** Whether a message port tells that the thread of its other side has ended, or has closed it. */
export function portsTell(): boolean {
  return false;
}

/** How a worker of one's own is given: its file, or a function that makes it. */
type WorkerSource = string | URL | (() => unknown);

/** Workers of a pool that is told nothing about its size. */
export function parallelism(): number {
  return navigator.hardwareConcurrency || 1;
}

/** Pages resolve `import()` against the worker's own file: there is nothing to find out. */
export function callerFile(): string | undefined {
  return undefined;
}

/** Web workers. */
export function threadBackend(source: WorkerSource | undefined, options: object | undefined): Backend {
  return {
    sharedMemory: globalThis.crossOriginIsolated,
    start: (name, events) => new WebWorkerConnection(makeWorker(source, name, options), name, fileOf(source), events),
  };
}

function makeWorker(source: WorkerSource | undefined, name: string, options: object | undefined): Worker {
  if (typeof source === 'function') {
    const made = source();
    if (made instanceof Worker) return made;
    throw new TypeError("'worker' must give a Worker");
  }
  // In this form bundlers see the worker's file; so it cannot be taken out of the expression. The type comes last: Vite wants
  // to see that nothing sets another.
  if (source === undefined) {
    return new Worker(new URL('./worker-main.js', import.meta.url), { name, ...options, type: 'module' });
  }
  return new Worker(source, { type: 'module', name, ...options });
}

/** How a worker's file is called in messages; undefined for the executor's own. */
function fileOf(source: WorkerSource | undefined): string | undefined {
  return typeof source === 'function' ? "'worker'" : source && String(source);
}

/** ms that a worker may take to answer before somebody is told. */
const SILENT_FOR_MS = 10_000;

class WebWorkerConnection implements Connection {
  readonly endpoint: Endpoint;
  readonly guestPort: unknown;
  readonly sent = undefined;
  readonly #worker: Worker;
  readonly #port: MessagePort;
  readonly #silence: ReturnType<typeof setTimeout>;
  readonly #events: ConnectionEvents;

  constructor(worker: Worker, name: string, file: string | undefined, events: ConnectionEvents) {
    const { port1, port2 } = new MessageChannel();
    this.#worker = worker;
    this.#port = port1;
    this.#events = events;
    this.guestPort = port2;
    this.endpoint = worker as unknown as Endpoint;
    this.#silence = setOwnTimeout(() => {
      const what = `The worker ${name} of ${file ?? 'the executor'} has not answered for ${String(SILENT_FOR_MS / 1000)} s`;
      warn('WorkerWarning', `${what}: does its file call expose() at once, before it awaits anything?`);
    }, SILENT_FOR_MS);
    port1.onmessage = ({ data }: MessageEvent) => {
      if (data === CONNECTED) clearOwnTimeout(this.#silence);
      else if (data === CLOSED) this.#exit({ cause: new Error('close() was called in the worker') });
      else events.message(data);
    };
    port1.onmessageerror = () => {
      events.unreadable();
    };
    worker.onerror = (event) => {
      // A web worker goes on after an uncaught error. A task that waits for what has just failed would wait for ever.
      event.preventDefault();
      events.error(event.error ?? asError(event, file));
      this.terminate();
    };
  }

  post(message: unknown, transfer: readonly unknown[]): void {
    this.#port.postMessage(message, transfer as Transferable[]);
  }

  drain(): void {
    // Messages of a web worker cannot be read ahead of the event loop; `terminate` gives them time instead.
  }

  ref(): void {
    // Pages are not kept alive by workers.
  }

  unref(): void {
    // As above.
  }

  end(): void {
    this.terminate();
  }

  terminate(): void {
    this.#worker.terminate();
    // Web workers tell nobody that they have ended.
    setOwnTimeout(() => {
      this.#exit({});
    }, 0);
  }

  #exit(death: WorkerDeath): void {
    clearOwnTimeout(this.#silence);
    // One that has called close() goes on with what it is doing.
    this.#worker.terminate();
    this.#events.exit(death);
    this.#port.close();
  }
}

/** Of an uncaught error a page is told its text and its place; of a file that cannot be loaded, nothing. */
function asError({ message, filename, lineno, colno }: ErrorEvent, file: string | undefined): Error {
  if (!message) {
    return new Error(
      file === undefined
        ? "The executor's own worker could not be loaded: did the bundler emit its file, worker-main.js? If it cannot, give " +
            "the executor a 'worker' of your own"
        : `The worker of ${file} could not be loaded: is its file there, and do the headers of the page let it be one?`,
    );
  }
  return new Error(filename ? `${message} (${filename}:${String(lineno)}:${String(colno)})` : message);
}

/** Buckets a doubling of the value: an error of 2 % at most. */
const BUCKETS = 32;

/** A histogram with logarithmic buckets; browsers have none. */
class LogHistogram implements RecordableHistogram {
  readonly #buckets = new Uint32Array(BUCKETS * 42);
  count = 0;
  #sum = 0;
  min = 0;
  max = 0;

  get mean(): number {
    return this.count === 0 ? 0 : this.#sum / this.count;
  }

  record(value: number): void {
    const bucket = Math.min(this.#buckets.length - 1, Math.floor(Math.log2(value) * BUCKETS));
    this.#buckets[bucket] = (this.#buckets[bucket] ?? 0) + 1;
    this.min = this.count === 0 ? value : Math.min(this.min, value);
    this.max = Math.max(this.max, value);
    this.count++;
    this.#sum += value;
  }

  percentile(percentile: number): number {
    const rank = Math.ceil((percentile / 100) * this.count);
    let seen = 0;
    for (const [bucket, count] of this.#buckets.entries()) {
      seen += count;
      if (seen >= rank && count > 0) return Math.min(this.max, Math.max(this.min, 2 ** ((bucket + 1) / BUCKETS)));
    }
    return this.max;
  }
}

/** A histogram of whole numbers. */
export function createHistogram(): RecordableHistogram {
  return new LogHistogram();
}
