// Accepts connections and says nothing. Told `count` by its input, it prints how many there are; `speak`: says a word to all.
import { createServer } from 'node:net';
import process from 'node:process';
import { createInterface } from 'node:readline';

const waiting = new Set();
const server = createServer((socket) => {
  waiting.add(socket);
  socket.resume().on('error', () => {});
  socket.on('close', () => waiting.delete(socket));
});
server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, () => process.send(server.address().port));
createInterface({ input: process.stdin }).on('close', () => process.exit());
process.on('message', (word) => {
  if (word === 'speak') {
    for (const socket of waiting) socket.end('go on');
    waiting.clear();
  }
  process.send(waiting.size);
});
process.on('disconnect', () => process.exit());
