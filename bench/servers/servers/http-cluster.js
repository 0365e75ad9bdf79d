// Node's own cluster with so many processes, to which the first one hands connections in turn; or which accept by themselves.
import cluster from 'node:cluster';
import { createServer } from 'node:http';
import process from 'node:process';
import handle from './http-handler.js';

if (cluster.isPrimary) {
  const count = Number(process.argv[2]);
  if (process.argv[3] === 'accepting') cluster.schedulingPolicy = cluster.SCHED_NONE;
  let listening = 0;
  cluster.on('listening', (_worker, { port }) => {
    if (++listening === count) process.stdout.write(`${port}\n`);
  });
  for (let i = 0; i < count; i++) cluster.fork();
  process.stdin.resume().on('end', () => {
    for (const worker of Object.values(cluster.workers)) worker.process.kill();
    process.exit();
  });
} else {
  createServer(handle).listen({ port: 0, host: '127.0.0.1', backlog: 512 });
  process.on('disconnect', () => process.exit());
}
