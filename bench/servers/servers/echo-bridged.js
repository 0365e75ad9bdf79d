// The least that has threads answer what this one reads and writes: all that comes in a turn goes in one message. No pool, no
// streams in the threads, no bounds, no errors.
import { createServer } from 'node:net';
import process from 'node:process';
import { URL } from 'node:url';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';

if (isMainThread) {
  const sockets = new Map();
  const threads = [0, 1].map(() => {
    const thread = { worker: new Worker(new URL(import.meta.url)), batch: [] };
    thread.worker.on('message', (answers) => {
      for (let i = 0; i < answers.length; i += 2) {
        const socket = sockets.get(answers[i]);
        if (answers[i + 1] !== null) {
          socket?.write(answers[i + 1]);
        } else {
          socket?.end();
          sockets.delete(answers[i]);
        }
      }
    });
    return thread;
  });
  const post = (thread, id, chunk) => {
    if (thread.batch.length === 0) {
      setImmediate(() => {
        thread.worker.postMessage(thread.batch);
        thread.batch = [];
      });
    }
    thread.batch.push(id, chunk);
  };
  let lastId = 0;
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const id = ++lastId;
    const thread = threads[id % threads.length];
    sockets.set(id, socket);
    socket.on('data', (chunk) => post(thread, id, chunk));
    socket.on('end', () => post(thread, id, null));
    socket.on('error', () => {});
  });
  server.listen({ host: '127.0.0.1', port: 0, backlog: 512 }, () => {
    process.stdout.write(`${server.address().port}\n`);
  });
  process.stdin.resume().on('end', () => process.exit());
} else {
  parentPort.on('message', (batch) => parentPort.postMessage(batch));
}
