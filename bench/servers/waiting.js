// Resident memory of this process with so many tasks waiting on sockets at once: tasks, workers. Prints one line of JSON.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import process from 'node:process';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath, URL } from 'node:url';
import { tasksFrom, ThreadPoolExecutor } from 'concurrent-futures';

const [tasks, workers] = process.argv.slice(2).map(Number);
const { listenTo } = tasksFrom(new URL('waiting-task.js', import.meta.url));

const silent = fork(fileURLToPath(new URL('servers/silent.js', import.meta.url)));
const [port] = await once(silent, 'message');
const tell = async (word) => {
  silent.send(word);
  return (await once(silent, 'message'))[0];
};

const cold = process.memoryUsage.rss();
const executor = new ThreadPoolExecutor(workers, { concurrentTasksPerWorker: Math.ceil(tasks / workers) });
const wait = async (count) => {
  const futures = executor.map(listenTo, Array(count).fill(port));
  while ((await tell('count')) < count) await delay(10);
  const memory = process.memoryUsage.rss();
  await tell('speak');
  await futures;
  return memory;
};
// Workers that have one task each are part of what these cost; those that are shared have done it before.
const shared = workers < tasks;
if (shared) await wait(workers);
const before = process.memoryUsage.rss();
const waiting = await wait(tasks);
process.stdout.write(`${JSON.stringify({ cold, before, waiting })}\n`);
await executor.shutdown();
silent.disconnect();
