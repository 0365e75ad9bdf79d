import { task } from 'concurrent-futures';

// As the servers by hand do it. A pipeline of node:stream makes an AbortController for each connection, and a DOMException.
export const echo = task(import.meta.url, function echo(socket) {
  socket.pipe(socket);
  return new Promise((resolve) => socket.once('close', resolve));
});
