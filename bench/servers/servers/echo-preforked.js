// serveSocketsPreforked: two processes that accept, 64 connections in each.
import process from 'node:process';
import { serveSocketsPreforked } from 'concurrent-futures/server';
import { echo } from './echo-handler.js';

const server = await serveSocketsPreforked(echo, { host: '127.0.0.1', port: 0, backlog: 512, processes: 2 });
process.stdout.write(`${server.address().port}\n`);
process.stdin.resume().on('end', () => process.exit());
