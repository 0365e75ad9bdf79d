/** TCP clients of the servers under test. */
import { connect, type Socket } from 'node:net';
import { once } from 'node:events';
import { settled } from './watchdog.js';

/** A client that may end its half and still read. Errors are what `closed` is about; they are no error of the test. */
export async function dial(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  socket.on('error', () => undefined);
  await settled(once(socket, 'connect'), 'the connection');
  return socket;
}

/** Resolves when the connection is over, however it ended. */
export function closed(socket: Socket): Promise<void> {
  const closing = new Promise<void>((resolve) => {
    if (socket.closed) resolve();
    else
      socket.once('close', () => {
        resolve();
      });
  });
  // Who reads nothing never hears of the end.
  socket.resume();
  if (socket.readableEnded) socket.end();
  else socket.once('end', () => socket.end());
  return settled(closing, 'the end of the connection');
}

/** All that the other side sends until it ends its half, or the connection is cut. */
export async function readToEnd(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  const reading = new Promise<void>((resolve) => {
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.once('end', () => {
      resolve();
    });
    socket.once('close', () => {
      resolve();
    });
  });
  await settled(reading, 'all that the server sends');
  return Buffer.concat(chunks);
}

/** Sends it, ends this half, and reads to the end of the other. */
export async function ask(port: number, message: string | Uint8Array): Promise<Buffer> {
  const socket = await dial(port);
  const answer = readToEnd(socket);
  socket.end(message);
  try {
    return await answer;
  } finally {
    socket.destroy();
  }
}
