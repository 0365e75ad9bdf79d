/**
 * Two threads send a list to each of five clients, and echo what it says ten times. See README.md beside this file.
 */
import { once } from 'node:events';
import { connect } from 'node:net';
import { createInterface } from 'node:readline/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { ThreadPoolExecutor } from 'concurrent-futures';
import { serveSockets } from 'concurrent-futures/server';
import { serveList } from './serve-list.js';

/** Doctors and patients: who comes while both doctors are busy is seated in the waiting room. */
const THREADS = 2;
const CLIENTS = 5;

await using executor = new ThreadPoolExecutor(THREADS, { threadNamePrefix: 'thread' });
await using server = await serveSockets(executor, serveList, { host: '127.0.0.1', port: 0 });
const { port } = server.address();

const clients = Array.from({ length: CLIENTS }, (_, index) => visit(`client ${index + 1}`));
while (server.stats().accepted < CLIENTS) await sleep(1);
const { active, waiting } = server.stats();
console.log(`${active} clients are being served, ${waiting} wait`);
for (const line of await Promise.all(clients)) console.log(line);

while (server.stats().active > 0) await sleep(1);
const { completed, failed } = server.stats();
console.log(`${completed} clients were served by ${executor.stats().workers} threads, ${failed} failed`);

/** Takes the list, says each of ten things when the one before has come back, and waits for the server to hang up. */
async function visit(name: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  const lines = createInterface({ input: socket })[Symbol.asyncIterator]();
  const hear = async () => String((await lines.next()).value);

  const list = JSON.parse(await hear()) as number[];
  let echoes = 0;
  for (let saying = 1; saying <= 10; saying++) {
    await sleep(10); // a client thinks before it speaks
    const words = `${name} says ${saying}`;
    socket.write(`${words}\n`);
    if ((await hear()) === words) echoes++;
  }
  await once(socket, 'close');
  return `${name} got [${list.join(', ')}] and ${echoes} echoes`;
}
