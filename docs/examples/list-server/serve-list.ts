/** The server's side of a connection, run by the pool. Each worker imports this module once. */
import type { AddressInfo, Socket } from 'node:net';
import { createInterface } from 'node:readline/promises';
import { task } from 'concurrent-futures';
import { currentTask } from 'concurrent-futures/worker';

const list = [1, 2, 7, 9, 0];
const SAYINGS = 10;

/** Sends the list to a client, echoes what it says ten times, and hangs up. */
export const serveList = task(import.meta.url, async function serveList(client: Socket, { port }: AddressInfo) {
  const { worker } = currentTask();
  console.log(`${worker} received connection: port ${port}`);
  client.write(`${JSON.stringify(list)}\n`);
  let said = 0;
  for await (const line of createInterface({ input: client })) {
    client.write(`${line}\n`);
    if (++said === SAYINGS) break;
  }
  console.log(`${worker} closed connection: port ${port}`);
});
