// The clients of the echo servers, in a process of their own: port, kind, milliseconds. Prints one line of JSON.
import { connect } from 'node:net';
import { performance } from 'node:perf_hooks';
import process from 'node:process';

const [port, kind, duration] = [Number(process.argv[2]), process.argv[3], Number(process.argv[4])];
const CLIENTS = 100;
const MESSAGE = Buffer.alloc(64, 'x');
/** What is read is not looked at, so all clients share it. */
const BUFFER = Buffer.alloc(4096);

const result = { transactions: 0, failed: 0, longest: 0, elapsed: 0 };
const start = performance.now();
const goesOn = () => performance.now() - start < duration;

/** One client: a connection for all of its messages, or a new one for each. Resolves when it has hung up. */
function client(onlyOne) {
  return new Promise((resolve) => {
    let asked = performance.now();
    let received = 0;
    const callback = (length) => {
      received += length;
      if (received >= MESSAGE.length) answered();
      return true;
    };
    // What the client spends, the server lacks: it reads past the stream, into one buffer.
    const socket = connect({ port, host: '127.0.0.1', noDelay: true, onread: { buffer: BUFFER, callback } });
    const ask = () => {
      received = 0;
      socket.write(MESSAGE);
    };
    const answered = () => {
      result.transactions++;
      const now = performance.now();
      result.longest = Math.max(result.longest, now - asked);
      asked = now;
      if (onlyOne || !goesOn()) socket.end();
      else ask();
    };
    socket.on('connect', ask);
    socket.on('error', () => result.failed++);
    socket.on('close', resolve);
  });
}

async function repeatedly() {
  while (goesOn()) await client(true);
}

await Promise.all(Array.from({ length: CLIENTS }, () => (kind === 'persistent' ? client(false) : repeatedly())));
result.elapsed = performance.now() - start;
process.stdout.write(`${JSON.stringify(result)}\n`);
