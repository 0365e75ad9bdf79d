/** A server that keeps everybody waiting; it lives in a process of its own, so that its memory is not counted. */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';

export class SilentServer {
  readonly #waiting = new Set<Socket>();
  readonly #server = createServer((socket) => {
    this.#waiting.add(socket);
    socket.resume().on('error', () => undefined);
    socket.on('close', () => this.#waiting.delete(socket));
  });

  /** Returns the port. */
  async listen(): Promise<number> {
    this.#server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 });
    await once(this.#server, 'listening');
    return (this.#server.address() as AddressInfo).port;
  }

  /** How many wait for a word. */
  waiting(): number {
    return this.#waiting.size;
  }

  /** Says the word to everybody who waits, and hangs up. */
  speak(word: string): void {
    for (const socket of this.#waiting) socket.end(word);
    this.#waiting.clear();
  }
}
