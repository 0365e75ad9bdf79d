import { Server, Socket } from 'node:net';
import { Worker } from 'node:worker_threads';
import { type Endpoint, type TransferHandler, transferHandlers } from '../comlink.js';
import type { GuestPort } from '../guest/task-runner.js';
import { encodeError } from '../wire/errors.js';
import { COMLINK, type Handle, IpcMultiplexer, STRAY_ERROR, TASK_PORT } from './ipc.js';

/**
 * The guest's side of the channel to the parent process. The child ends when the channel does: a parent that died, however
 * it did, leaves no orphans.
 */
export class ParentChannel {
  readonly endpoint: Endpoint;
  readonly #ipc: IpcMultiplexer;

  constructor() {
    const ipc = new IpcMultiplexer(
      {
        get connected() {
          return process.connected;
        },
        send: (message, handle, done) => {
          process.send?.(message, handle, {}, done);
        },
      },
      1,
    );
    this.#ipc = ipc;
    this.endpoint = {
      postMessage: (message, transfer) => {
        ipc.post(COMLINK, message, transfer);
      },
      addEventListener: (_type, listener) => {
        ipc.listen(COMLINK, (data) => {
          listener({ data } as never);
        });
      },
      removeEventListener: () => {
        // Comlink listens as long as the process lives.
      },
    };
    process.on('message', (frame, handle) => {
      ipc.receive(frame, handle);
    });
    process.on('disconnect', () => {
      process.exit();
    });
    process.on('uncaughtExceptionMonitor', (error) => {
      ipc.post(STRAY_ERROR, encodeError(error));
    });
    const handles: TransferHandler<Socket | Server, WireHandle> = {
      canHandle: () => false,
      serialize: () => {
        throw new Error('Handles are sent by the host');
      },
      deserialize: openHandle,
    };
    transferHandlers.set('handle', handles as never);
    watchParent();
  }

  connect(receive: (message: unknown) => void): GuestPort {
    this.#ipc.listen(TASK_PORT, receive);
    return {
      postMessage: (message, transfer) => {
        this.#ipc.post(TASK_PORT, message, transfer);
      },
    };
  }
}

/** What the host says of a handle, and the handle, which the multiplexer has put there. */
interface WireHandle {
  placeholder: { handle: Handle | undefined };
  head?: Uint8Array | null;
  allowHalfOpen?: boolean;
}

/** The socket or server that came with a task. */
function openHandle({ placeholder: { handle }, head, allowHalfOpen }: WireHandle): Socket | Server {
  if (handle instanceof Server) return handle;
  if (!(handle instanceof Socket)) throw new Error('The socket was closed before it reached the process');
  handle.allowHalfOpen = allowHalfOpen === true;
  if (head) handle.unshift(head);
  return handle;
}

/** Ends this process within a second of its parent's death even when its thread is blocked and hears of nothing. */
function watchParent(): void {
  const watch = `
    const parent = process.ppid;
    setInterval(() => { if (process.ppid !== parent) process.kill(process.pid, 'SIGKILL'); }, 300);
  `;
  const limits = { maxOldGenerationSizeMb: 8, maxYoungGenerationSizeMb: 2, codeRangeSizeMb: 8, stackSizeMb: 1 };
  const watcher = new Worker(watch, { eval: true, execArgv: [], resourceLimits: limits, name: 'parent watch' });
  watcher.unref();
  watcher.on('error', () => {
    // Without it, the end of the channel still ends a process that is not blocked.
  });
}
