// Clients that behave as they like, for so many ms: kind of server, milliseconds, seed. Prints one line of JSON.
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { performance } from 'node:perf_hooks';
import process from 'node:process';
import { setTimeout as delay } from 'node:timers/promises';
import { ThreadPoolExecutor } from 'concurrent-futures';
import { ProcessPoolExecutor } from 'concurrent-futures/process';
import { serveSockets, serveSocketsPreforked } from 'concurrent-futures/server';
import { echo } from './servers/echo-handler.js';

const [kind, duration, seed] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4] ?? 1)];
const CLIENTS = 64;
const SLOTS = 32;

/** mulberry32: the same seed, the same clients. */
let state = seed;
function random() {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
}
const upTo = (max) => Math.floor(random() * max);

const WORKERS = 2;
const options = { host: '127.0.0.1', port: 0, timeout: 5000 };
const concurrentTasksPerWorker = SLOTS / WORKERS;

/** A server, how many workers it has, and what ends them. */
async function start() {
  if (kind === 'preforked') {
    let deaths = 0;
    const onWorkerError = () => deaths++;
    const own = { processes: WORKERS, concurrentTasksPerWorker, onWorkerError };
    const server = await serveSocketsPreforked(echo, { ...options, ...own });
    return { server, workers: () => WORKERS - deaths, end: () => {} };
  }
  const Executor = kind === 'processes' ? ProcessPoolExecutor : ThreadPoolExecutor;
  const executor = new Executor(WORKERS, { concurrentTasksPerWorker, minWorkers: WORKERS });
  const server = await serveSockets(executor, echo, { ...options, maxPending: 256 });
  return { server, workers: () => executor.stats().workers, end: () => executor.shutdown() };
}

const { server, workers: countWorkers, end } = await start();
const { port } = server.address();

/** What a client may do with its connection. Each resolves or rejects by itself, or when the connection has closed. */
const behaviours = {
  async polite(socket) {
    for (let i = upTo(5); i >= 0; i--) await ask(socket, Buffer.alloc(1 + upTo(4096), 'p'));
    socket.end();
  },
  async slow(socket) {
    for (let i = upTo(6); i >= 0; i--) {
      socket.write('s');
      await delay(upTo(100));
    }
    socket.end();
  },
  async halfOpen(socket) {
    socket.end('last words');
    await delay(upTo(200));
  },
  async reset(socket) {
    socket.write(Buffer.alloc(upTo(65536)));
    await delay(upTo(20));
    socket.resetAndDestroy();
  },
  async silent() {
    await delay(upTo(300));
  },
  async deaf(socket) {
    socket.pause();
    socket.write(Buffer.alloc(upTo(2 ** 20)));
    await delay(upTo(200));
  },
  async flood(socket) {
    for (let i = 0; i < 16; i++) socket.write(Buffer.alloc(65536));
    await delay(upTo(100));
    socket.destroy();
  },
};

function ask(socket, message) {
  return new Promise((resolve, reject) => {
    let received = 0;
    socket.on('data', function heard(chunk) {
      received += chunk.length;
      if (received < message.length) return;
      socket.off('data', heard);
      resolve();
    });
    socket.once('close', () => reject(new Error('closed')));
    socket.write(message);
  });
}

const counts = {};
const began = performance.now();
async function client() {
  while (performance.now() - began < duration) {
    const name = Object.keys(behaviours)[upTo(7)];
    counts[name] = (counts[name] ?? 0) + 1;
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: random() < 0.5 });
    const closed = new Promise((resolve) => socket.on('close', resolve));
    socket.on('error', () => {}).resume();
    await Promise.race([behaviours[name](socket).catch(() => {}), closed]);
    socket.destroy();
    await closed;
  }
}

/** Pages of memory that a process has; none once it is gone. */
function pagesOf(pid) {
  try {
    return Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]);
  } catch {
    return 0;
  }
}

/** MB that this process has, with its threads, and where the system tells that, its child processes. */
function memory() {
  let pages = 0;
  if (process.platform === 'linux') {
    const children = readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8').trim();
    for (const pid of children === '' ? [] : children.split(' ')) pages += pagesOf(pid);
  }
  return Math.round((process.memoryUsage.rss() + pages * 4096) / 2 ** 20);
}
const samples = [];
const gauge = setInterval(() => samples.push(memory()), Math.max(100, duration / 40));
await Promise.all(Array.from({ length: CLIENTS }, client));
clearInterval(gauge);

// Every slot is free again: as many clients as there are slots are served at once.
while (server.stats().active + server.stats().waiting > 0 && performance.now() - began < duration + 15_000)
  await delay(50);
const { active, waiting } = server.stats();
const last = Array.from({ length: SLOTS }, () => connect(port, '127.0.0.1'));
const heard = await Promise.race([
  Promise.all(
    last.map((socket) =>
      ask(
        socket.on('error', () => {}),
        Buffer.from('still there?'),
      ).then(() => true),
    ),
  ),
  delay(5000, [], { ref: false }),
]).catch(() => []);
const result = {
  kind,
  seed,
  counts,
  stats: server.stats(),
  lost: active + waiting,
  served: heard.length,
  slots: SLOTS,
};
for (const socket of last) socket.destroy();
await server.close({ grace: 2000 });
const workers = countWorkers();
await end();
const third = Math.ceil(samples.length / 3);
const mean = (list) => Math.round(list.reduce((a, b) => a + b, 0) / list.length);
const grown = { middle: mean(samples.slice(third, 2 * third)), last: mean(samples.slice(-third)) };
process.stdout.write(`${JSON.stringify({ ...result, workers, memory: grown })}\n`);
