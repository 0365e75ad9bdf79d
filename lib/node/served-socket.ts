import type { Socket } from 'node:net';

/** A socket that belongs to the task it is sent to: it is closed when the task has ended. */
export class ServedSocket {
  readonly socket: Socket;

  constructor(socket: Socket) {
    this.socket = socket;
  }
}

/** ms without progress that a peer has to take the last words of a handler. */
const LINGER_MS = 5000;

/** Closes the socket of a task that has ended, once what it wrote has gone. */
export function closeServed(socket: Socket): void {
  if (socket.destroyed) return;
  socket.destroySoon();
  endServed(socket);
}

/** Ends the socket of a task that has ended when its peer takes nothing of what was written any more. */
export function endServed(socket: Socket): void {
  if (socket.destroyed) return;
  socket.setTimeout(LINGER_MS, () => {
    socket.destroy();
  });
}
