/**
 * An Express application, preforked, under siege: one process, then two. See README.md beside this file.
 */
import Table from 'cli-table3';
import { tasksFrom } from 'concurrent-futures';
import { ProcessPoolExecutor } from 'concurrent-futures/process';
import { serveHttp } from 'concurrent-futures/server';
import type * as Clients from './siege.js';

const PROCESSES = 2;
const CLIENTS = 100;
/** ms that each siege takes: `npm start` of an example is no benchmark. A number on the command line makes it one. */
const DURATION = Number(process.argv[2] ?? 1000);

const app = new URL('./app.js', import.meta.url);
const { siege } = tasksFrom<typeof Clients>(new URL('./siege.js', import.meta.url));
await using besiegers = new ProcessPoolExecutor(1);

for (const [path, what] of [
  ['/', 'GET /: says hello'],
  ['/work', 'GET /work: 5 ms of work first'],
] as const) {
  const table = new Table({
    head: ['', 'Trans', 'Elap Time', 'Resp Time', 'Longest', 'Trans Rate', 'Failed'],
    colAligns: ['left', 'right', 'right', 'right', 'right', 'right', 'right'],
    style: { head: [], border: [] },
  });
  const one = await besiege(path, 1, table);
  const several = await besiege(path, PROCESSES, table);
  console.log(`${what}\n${table.toString()}`);
  console.log(`${PROCESSES} processes answer ${(several / one).toFixed(1)} × as many requests as one\n`);
}

/** Serves the application from so many processes, and adds a line to the table. Returns transactions a second. */
async function besiege(path: string, processes: number, table: InstanceType<typeof Table>): Promise<number> {
  const server = await serveHttp(app, { port: 0, host: '127.0.0.1', processes });
  const url = `http://127.0.0.1:${server.address().port}${path}`;
  const result = await besiegers.submit(siege, url, CLIENTS, DURATION);
  await server.close();

  const { transactions, elapsed, mean, longest, failed, failure, answers } = result;
  const rate = (transactions / elapsed) * 1000;
  const name = processes === 1 ? '1 process' : `${processes} processes`;
  const times = [`${(elapsed / 1000).toFixed(2)} s`, `${mean.toFixed()} ms`, `${longest.toFixed()} ms`];
  table.push([name, transactions, ...times, `${rate.toFixed()}/s`, failed]);
  if (failure !== undefined) console.log(`${name}: ${failure}`);

  // Each answer names the process that gave it, and the server has counted them.
  const { completed } = server.stats();
  const shares = [...answers.values()].sort((a, b) => b - a).join(' + ');
  console.log(`${name}: ${shares} answers came, ${completed} were sent`);
  return rate;
}
