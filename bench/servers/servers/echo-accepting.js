// The least that has processes accept by themselves: a listening handle for each, no bounds, no errors.
import { fork } from 'node:child_process';
import { createServer } from 'node:net';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

if (process.send === undefined) {
  const children = [0, 1].map(() => fork(fileURLToPath(import.meta.url)));
  const server = createServer();
  server.listen({ host: '127.0.0.1', port: 0, backlog: 512 }, () => {
    const { port } = server.address();
    let listening = 0;
    for (const child of children) {
      child.once('message', () => {
        if (++listening < children.length) return;
        server.close();
        process.stdout.write(`${port}\n`);
      });
      child.send('listen', server);
    }
  });
  process.stdin.resume().on('end', () => process.exit());
} else {
  process.once('message', (_message, server) => {
    createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => {});
      socket.pipe(socket);
    }).listen(server, () => process.send('listening'));
  });
  process.on('disconnect', () => process.exit());
}
