import { pipeline } from 'node:stream/promises';
import { task } from 'concurrent-futures';

export const echo = task(import.meta.url, async function echo(socket) {
  await pipeline(socket, socket);
});
