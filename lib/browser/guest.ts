import type { Endpoint } from '../comlink.js';
import type { GuestPort } from '../guest/port.js';
import { wrapSource } from '../guest/source.js';
import { CLOSED, CONNECTED } from './life-signs.js';

export { now } from './clock.js';

/** The channel that Comlink calls of the host arrive on. */
export function endpoint(): Endpoint {
  if (typeof window !== 'undefined') throw new Error('expose() is for workers: this is a page');
  return globalThis as unknown as Endpoint;
}

/** Listens on the port that the tasks come by. */
export function connectPort(port: unknown, receive: (message: unknown) => void, unreadable: () => void): GuestPort {
  const messagePort = port as MessagePort;
  messagePort.onmessage = ({ data }: MessageEvent) => {
    receive(data);
  };
  messagePort.onmessageerror = unreadable;
  messagePort.postMessage(CONNECTED);
  globalThis.close = () => {
    messagePort.postMessage(CLOSED);
    endGuest();
  };
  // As in Node; a browser would only say so on its console.
  addEventListener('unhandledrejection', (event) => {
    setTimeout(() => {
      if (!event.defaultPrevented) throw event.reason;
    });
  });
  return {
    postMessage: (message, transfer = []) => {
      messagePort.postMessage(message, transfer as Transferable[]);
    },
  };
}

/** The worker's own; service workers have none. */
const { close } = globalThis;

/** Ends this worker. */
export const endGuest: (tellLingers?: () => void) => void = () => {
  close.call(globalThis);
};

/** Imports a module by its absolute URL. */
export async function importModule(url: string): Promise<object> {
  return (await import(/* @vite-ignore */ /* webpackIgnore: true */ url)) as object;
}

/** Makes a function of its source. */
export const compile: (source: string, base: string | undefined) => unknown = (source) =>
  // Indirect, so that the function sees the globals and nothing of this module.
  wrapSource(source, (text) => (0, eval)(text) as unknown);
