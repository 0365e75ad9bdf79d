// The least that hands connections to processes: accept here, child.send there, in turn. No pool, no bounds, no errors.
import { fork } from 'node:child_process';
import { createServer } from 'node:net';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

if (process.send === undefined) {
  const children = [0, 1].map(() => fork(fileURLToPath(import.meta.url)));
  let turn = 0;
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) => {
    children[(turn ^= 1)].send('connection', socket);
  });
  server.listen({ host: '127.0.0.1', port: 0, backlog: 512 }, () => {
    process.stdout.write(`${server.address().port}\n`);
  });
  process.stdin.resume().on('end', () => process.exit());
} else {
  process.on('message', (_message, socket) => {
    socket.allowHalfOpen = true;
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  process.on('disconnect', () => process.exit());
}
