// serveSockets on threads or processes: two workers, 64 connections in each.
import process from 'node:process';
import { ThreadPoolExecutor } from 'concurrent-futures';
import { ProcessPoolExecutor } from 'concurrent-futures/process';
import { serveSockets } from 'concurrent-futures/server';
import { echo } from './echo-handler.js';

const Executor = process.argv[2] === 'processes' ? ProcessPoolExecutor : ThreadPoolExecutor;
const executor = new Executor(2, { concurrentTasksPerWorker: 64, minWorkers: 2 });
await executor.map(() => undefined, [1, 2]);
const server = await serveSockets(executor, echo, { host: '127.0.0.1', port: 0, backlog: 512 });
process.stdout.write(`${server.address().port}\n`);
process.stdin.resume().on('end', () => process.exit());
