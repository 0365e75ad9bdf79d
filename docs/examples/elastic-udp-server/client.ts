import { createSocket } from 'node:dgram';
import { setTimeout as sleep } from 'node:timers/promises';

/** ms until a client asks again, because datagrams may be lost. */
const PATIENCE = 2000;

/** Asks questions by UDP. */
export class Client implements Disposable {
  readonly #socket = createSocket('udp4');
  readonly #port: number;
  /** The questions without an answer yet. */
  readonly #open = new Map<string, () => void>();
  answered = 0;
  #asked = 0;

  constructor(port: number) {
    this.#port = port;
    this.#socket.on('message', (message) => {
      const answer = message.toString();
      this.#open.get(answer)?.();
      if (this.#open.delete(answer)) this.answered++;
    });
  }

  /** Asks so many questions, one every `pause` ms, and waits for all of the answers. */
  async ask(count: number, pause: number): Promise<void> {
    const answers = [];
    for (let i = 0; i < count; i++) {
      answers.push(this.#ask(this.#asked++));
      await sleep(pause);
    }
    await Promise.all(answers);
  }

  #ask(number: number): Promise<void> {
    return new Promise((resolve) => {
      const send = () => {
        this.#socket.send(`question ${number}`, this.#port, '127.0.0.1');
      };
      const again = setInterval(send, PATIENCE);
      this.#open.set(`answer ${number}`, () => {
        clearInterval(again);
        resolve();
      });
      send();
    });
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }
}
