/** The server's side of a connection, run by the pool. Each worker imports this module once. */
import type { AddressInfo, Socket } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { task } from 'concurrent-futures';
import { currentTask } from 'concurrent-futures/worker';

/** Sends back what it receives, until the client hangs up. */
export const echo = task(import.meta.url, async function echo(socket: Socket) {
  await pipeline(socket, socket);
});

/** The same, and says so. */
export const echoClient = task(import.meta.url, async function echoClient(socket: Socket, { port }: AddressInfo) {
  const { worker } = currentTask();
  console.log(`  ${worker}: got connection from port ${port}`);
  await echo(socket);
  console.log(`  ${worker}: port ${port} hung up`);
});
