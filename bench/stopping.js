// How long after the deadline of a busy loop the next queued task runs: `npm run bench:stopping`.
import { ThreadPoolExecutor } from 'concurrent-futures';
import { ProcessPoolExecutor } from 'concurrent-futures/process';

const ROUNDS = 20;
const TIMEOUT = 50;

const clock = () => performance.timeOrigin + performance.now();
const busy = () => {
  for (;;);
};

/** ms from the deadline of a busy loop to the beginning of the task behind it, in a pool of one worker. */
async function measure(executor) {
  const late = [];
  for (let round = 0; round < ROUNDS; round++) {
    await executor.submit(() => 0);
    const stuck = executor.with({ timeout: TIMEOUT }).submit(busy);
    const next = executor.submit(() => performance.timeOrigin + performance.now());
    await stuck.exception();
    // The future rejects at the deadline, so that moment stands for it; it is never early.
    const deadline = clock();
    late.push((await next) - deadline);
  }
  await executor.shutdown();
  return late.sort((a, b) => a - b);
}

console.log(`node ${process.version}, ${ROUNDS} rounds, a timeout of ${TIMEOUT} ms`);
for (const executor of [new ThreadPoolExecutor(1), new ProcessPoolExecutor(1)]) {
  const late = await measure(executor);
  const [median, longest] = [late[late.length >> 1], late.at(-1)].map((ms) => ms.toFixed(1));
  const verdict = late.at(-1) <= 100 ? 'within' : 'NOT within';
  console.log(
    `${executor.constructor.name}: next task after ${median} ms (median), ${longest} ms (longest): ${verdict} 100 ms`,
  );
}
