import { serveHttp, type HttpServerOptions, type PreforkedServer } from 'concurrent-futures/server';
import { Gate } from './gate.js';
import { fetchFrom } from './http.js';
import { settled } from './watchdog.js';

/** The address of an application of spec/fixtures/apps. */
export function appUrl(name: string): URL {
  return new URL(`../fixtures/apps/${name}.js`, import.meta.url);
}

/** The HTTP servers of a suite, which end after each test, and the gates that their requests wait at. */
export class HttpServers {
  readonly #servers: PreforkedServer[] = [];
  readonly #gates: Gate[] = [];

  constructor() {
    afterEach(() => this.#end());
  }

  async serve(app: string | URL = 'listener', options: Partial<HttpServerOptions> = {}): Promise<PreforkedServer> {
    const url = typeof app === 'string' ? appUrl(app) : app;
    const serving = serveHttp(url, { port: 0, host: '127.0.0.1', processes: 1, signals: false, ...options });
    const server = await settled(serving, 'the start of the server');
    this.#servers.push(server);
    return server;
  }

  makeGate(): Gate {
    const gate = new Gate(false);
    this.#gates.push(gate);
    return gate;
  }

  async #end(): Promise<void> {
    const ends = Promise.all(this.#servers.splice(0).map((server) => server.close({ grace: 0 })));
    for (const gate of this.#gates.splice(0)) gate[Symbol.dispose]();
    await settled(ends, 'the end of the servers');
  }
}

/** A path of an application whose request waits at a gate. */
export function at(path: string, gate: Gate): string {
  return `${path}?gate=${encodeURIComponent(String(gate.token))}`;
}

/** The process that answers. */
export async function pidOf(port: number): Promise<number> {
  return Number((await fetchFrom(port, '/pid')).text);
}
