import { fork } from 'node:child_process';
import { once } from 'node:events';

/** A running web site; leaving the scope of an `await using` stops it. */
export interface Site extends AsyncDisposable {
  /** The addresses of its pages, in order. */
  urls: string[];
}

/** Starts `server.ts` in a process of its own, and resolves once it listens. */
export async function startSite(): Promise<Site> {
  const server = fork(new URL('./server.js', import.meta.url));
  const ended = once(server, 'exit');
  const urls = await Promise.race([
    once(server, 'message').then(([message]) => message as string[]),
    ended.then(([code]) =>
      Promise.reject(new Error(`The web server ended with code ${String(code)} before it listened`)),
    ),
  ]);
  return {
    urls,
    async [Symbol.asyncDispose]() {
      server.kill();
      await ended;
    },
  };
}
