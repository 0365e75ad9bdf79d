/** The clients, which run in a process of their own: their memory is not the server's. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/** Says each message to the server, waits for its echo, and hangs up. Returns the echoes. */
export async function converse(port: number, messages: string[]): Promise<string[]> {
  const socket = await call(port);
  const echoes = [];
  for (const message of messages) echoes.push(await ask(socket, message));
  await hangUp(socket);
  return echoes;
}

/** Clients that knock at the same time: no more than a server's listen backlog holds. */
const KNOCKING = 500;

/** Many clients at once. */
export class Crowd {
  readonly #port: number;
  readonly #sockets: Socket[] = [];

  constructor(port: number) {
    this.#port = port;
  }

  /** So many more connect, and say nothing. */
  async connect(count: number): Promise<void> {
    for (let left = count; left > 0; left -= KNOCKING) {
      const calls = Array.from({ length: Math.min(left, KNOCKING) }, () => call(this.#port));
      this.#sockets.push(...(await Promise.all(calls)));
    }
  }

  /** Everybody says something, waits for the echo and hangs up. Returns how many heard what they had said. */
  async speak(): Promise<number> {
    const heard = await Promise.all(
      this.#sockets.splice(0).map(async (socket, client) => {
        const message = `client ${client} speaking`;
        const echo = await ask(socket, message).catch(String);
        await hangUp(socket);
        return echo === message;
      }),
    );
    return heard.filter(Boolean).length;
  }
}

async function call(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1').setEncoding('utf8');
  await once(socket, 'connect');
  return socket;
}

/** Resolves with as much as was said: TCP keeps the order of bytes, and not where a message ended. */
function ask(socket: Socket, message: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let echo = '';
    socket.write(message);
    socket.on('data', (text: unknown) => {
      echo += String(text);
      if (echo.length < message.length) return;
      socket.removeAllListeners();
      resolve(echo);
    });
    socket.on('error', reject);
    socket.on('end', () => {
      reject(new Error('The server hung up'));
    });
  });
}

async function hangUp(socket: Socket): Promise<void> {
  if (socket.destroyed) return;
  socket.resume().end();
  await once(socket, 'close');
}
