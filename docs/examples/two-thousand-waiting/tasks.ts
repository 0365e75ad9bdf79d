/** What the pool's workers do. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { task } from 'concurrent-futures';

/** Connects, waits until the server says something, and returns it. */
export const listenTo = task(import.meta.url, async function listenTo(port: number): Promise<string> {
  const socket = connect(port, '127.0.0.1').setEncoding('utf8');
  const [word] = (await once(socket, 'data')) as [string];
  socket.destroy();
  return word;
});
