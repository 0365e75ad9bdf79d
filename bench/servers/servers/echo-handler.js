import { pipeline } from 'node:stream';
import { task } from 'concurrent-futures';

// As the servers by hand do it: the pipeline of node:stream/promises makes an AbortController for each connection.
export const echo = task(import.meta.url, function echo(socket) {
  return new Promise((resolve) => pipeline(socket, socket, resolve));
});
