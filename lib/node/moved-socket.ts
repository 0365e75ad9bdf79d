import type { Socket } from 'node:net';
import type { TransferHandler } from '../comlink.js';
import type { HandledValue } from '../pool/backend.js';
import { belongToTask, isSocket, net, readToTheEnd, ServedSocket } from './served-socket.js';

/**
 * Sockets that are moved to another thread, which Node can from 24.21 and 26.6 on: the thread gets the connection itself, and
 * the socket here is closed. Everything else is bridged.
 */
interface WireSocket {
  socket: Socket;
  served: boolean;
}

/** What a message says of a socket that is moved; undefined when it is none, or cannot be moved. */
export function encodeMoved(value: unknown): HandledValue | undefined {
  const served = value instanceof ServedSocket;
  const socket = served ? value.socket : value;
  if (!isSocket(socket) || !canMove() || !isFresh(socket)) return undefined;
  const wire: WireSocket = { socket, served };
  return { value: wire, handler: 'moved-socket', transfer: [socket], endsQuietly: served };
}

/** Whether nothing of the connection is on this side yet: a plain TCP socket, not one of TLS or of a pipe. */
function isFresh(socket: Socket): boolean {
  return (
    Object.getPrototypeOf(socket) === net().Socket.prototype &&
    socket.remoteFamily !== undefined &&
    socket.readable &&
    socket.writable &&
    !socket.connecting &&
    socket.bytesRead === 0 &&
    socket.bytesWritten === 0 &&
    socket.readableLength === 0 &&
    socket.readableEncoding === null
  );
}

let able: boolean | undefined;

/** Whether Node can move sockets. Where it can, it says that one without a connection is not in the state for it. */
function canMove(): boolean {
  able ??= whyNotMoved(new (net().Socket)()) === 'ERR_WORKER_HANDLE_NOT_TRANSFERABLE';
  return able;
}

function whyNotMoved(socket: Socket): unknown {
  try {
    structuredClone(socket, { transfer: [socket as never] });
  } catch (error) {
    return (error as { code?: unknown }).code;
  }
  return undefined;
}

/** The worker's side. */
export const movedHandler: TransferHandler<unknown, WireSocket> & { discard(wire: WireSocket): void } = {
  canHandle: () => false,
  serialize: () => {
    throw new Error('Sockets are moved by the host');
  },
  deserialize: ({ socket, served }) => {
    readToTheEnd(socket);
    if (served) belongToTask(socket);
    return socket;
  },
  discard: ({ socket }) => {
    socket.destroy();
  },
};
