import type * as Net from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { atTaskEnd } from '../wire/scope.js';
import { rawHandle } from './raw-handle.js';

let module: typeof Net | undefined;

/** Loaded when first needed: threads start faster without it. */
export const net = () => (module ??= process.getBuiltinModule('node:net'));

/** Whether a value is a socket of TCP or of a pipe, that of TLS included. */
export function isSocket(value: unknown): value is Socket {
  return value instanceof Duplex && value instanceof net().Socket;
}

/** A socket that belongs to the task it is sent to: it is closed when the task has ended. */
export class ServedSocket {
  readonly socket: Socket;
  /** Its own address, where every connection of its server has the same. */
  readonly local: AddressInfo | undefined;

  constructor(socket: Socket, local?: AddressInfo) {
    this.socket = socket;
    this.local = local;
  }
}

/** In a worker: has the socket closed when the task has ended whose argument it is. */
export function belongToTask(socket: Socket): void {
  // A peer that resets its connection ends this connection, and nothing else here.
  socket.on('error', () => undefined);
  atTaskEnd((stopped) => closeServed(socket, stopped));
}

/** A loop that has read to the end does not destroy the socket: what was written in it has yet to go. */
export function readToTheEnd(socket: Socket): void {
  Object.defineProperty(socket, Symbol.asyncIterator, { value: () => socket.iterator({ destroyOnReturn: false }) });
}

/**
 * ms in which nothing of the last words of a handler leaves this process, and after which its peer takes no more. The system
 * takes a megabyte or more at a time, and then nothing before a good part of that has arrived: in 30 seconds it does so for
 * whoever reads 50 kB a second.
 */
const LAST_WORDS_MS = 30_000;
/** ms that a peer that was sent all has to end its side. */
export const LINGER_MS = 5000;

/** Sockets that are being closed, and whose peers have not ended their sides. */
const lingering = new Set<Socket>();

/** ms without a word of a peer after which it is taken to have no more to say, by a thread that is to end. */
const SILENCE_MS = 1000;

/**
 * Waits for the ends of connections whose tasks have ended. With its thread, or process, such a socket would be closed while its
 * peer may still send: that resets the connection, and what the peer has not read yet is lost.
 *
 * @returns when each is closed, or has sent its last words to a peer that is silent; nothing when there are none
 */
export function farewells(): Promise<void> | undefined {
  // One that is bridged belongs to another thread, which lingers for it.
  const here = [...lingering].filter((socket) => rawHandle(socket) !== undefined);
  if (here.length === 0) return undefined;
  return Promise.all(here.map(farewell)).then(() => undefined);
}

function farewell(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    let { bytesRead } = socket;
    const timer = setInterval(() => {
      if (socket.writableFinished && socket.bytesRead === bytesRead) done();
      ({ bytesRead } = socket);
    }, SILENCE_MS);
    const done = () => {
      clearInterval(timer);
      resolve();
    };
    socket.once('close', done);
  });
}

/**
 * Closes the socket of a task that has ended.
 *
 * @param stopped - whether the task was stopped: then nobody waits for what it wrote
 * @returns when all that it wrote has gone or its peer has left, rejected when its peer takes nothing any more; nothing when
 * that is so already
 */
export function closeServed(socket: Socket, stopped: boolean): Promise<void> | undefined {
  if (socket.destroyed) return undefined;
  if (stopped) {
    socket.destroy();
    return undefined;
  }
  if (socket.writableFinished) {
    closeSoftly(socket);
    return undefined;
  }
  return new Promise<void>((resolve, reject) => {
    socket.once('finish', resolve);
    socket.once('close', () => {
      resolve();
    });
    closeSoftly(socket, reject);
  });
}

/**
 * Ends this side of a connection, and closes it when the other side has ended too. A socket that is closed with something
 * unread in it resets the connection, and what the peer has not read yet of our last words is lost: hence what still
 * comes is read, for a while, and thrown away.
 *
 * @param onStuck - told why when the connection is reset because its peer takes nothing any more
 */
export function closeSoftly(socket: Socket, onStuck?: (error: Error) => void): void {
  if (socket.destroyed || lingering.has(socket)) return;
  lingering.add(socket);
  socket.once('close', () => lingering.delete(socket));
  endServed(socket, onStuck);
  if (!socket.writableEnded) socket.end();
  const bound = () => {
    const timer = setTimeout(() => {
      socket.destroy();
    }, LINGER_MS).unref();
    socket.once('close', () => {
      clearTimeout(timer);
    });
  };
  // A peer may send for ever.
  if (socket.writableFinished) bound();
  else socket.once('finish', bound);
  const close = () => {
    socket.destroySoon();
  };
  if (socket.readableEnded) close();
  else {
    socket.once('end', close);
    // Whoever reads by 'readable' has seen all that it will.
    socket.removeAllListeners('readable');
    socket.removeAllListeners('data');
    socket.resume();
  }
}

/** Ends the socket of a task that has ended when its peer takes nothing of what was written any more. */
export function endServed(socket: Socket, onStuck?: (error: Error) => void): void {
  if (socket.destroyed) return;
  // It was handed to another process: what is left here is a shell, and a timer would keep it.
  if (socket.pending) {
    socket.destroy();
    return;
  }
  socket.setTimeout(LAST_WORDS_MS, () => {
    if (socket.writableFinished) {
      socket.destroy();
      return;
    }
    onStuck?.(new Error(`The connection was reset: its peer took nothing for ${String(LAST_WORDS_MS)} ms`));
    // With an orderly end, the peer would take what it has for all.
    reset(socket);
  });
}

/** Closes a connection so that its peer reads an error, not an end, where it can be told one: by TCP alone. */
export function reset(socket: Socket): void {
  try {
    socket.resetAndDestroy();
  } catch {
    socket.destroy();
  }
}
