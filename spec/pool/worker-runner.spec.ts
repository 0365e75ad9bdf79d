import { expect } from 'chai';
import type { Backend } from '../../dist/pool/backend.js';
import { Callable } from '../../dist/pool/callables.js';
import { Epochs } from '../../dist/pool/epochs.js';
import { Task } from '../../dist/pool/task.js';
import { WorkerRunner } from '../../dist/pool/worker-runner.js';
import { GuestTable } from '../../dist/wire/claim-table.js';

const owner = { withdraw: () => false };
const callable = new Callable(owner, 1, { kind: 'named', name: 'work', url: undefined });

/** A runner over a worker without a thread, and what that shares with it. */
function runnerAndGuest(): { runner: WorkerRunner; guest: GuestTable } {
  let memory: SharedArrayBuffer | undefined;
  const backend: Backend = {
    sharedMemory: true,
    start: () => ({
      endpoint: {
        postMessage: (message) => {
          const { argumentList } = message as { argumentList: { value: { memory: SharedArrayBuffer } }[] };
          memory = argumentList[0]?.value.memory;
        },
        addEventListener: () => undefined,
        removeEventListener: () => undefined,
      },
      guestPort: undefined,
      sent: undefined,
      post: () => undefined,
      drain: () => undefined,
      ref: () => undefined,
      unref: () => undefined,
      end: () => undefined,
      terminate: () => undefined,
    }),
  };
  let sends = 0;
  const config = { backend, concurrency: 1, maxTasks: Infinity, nextNumber: () => ++sends, initializer: undefined };
  const ignore = () => undefined;
  const runner = new WorkerRunner('worker', config, {
    ready: ignore,
    initializerFailed: ignore,
    timed: ignore,
    ended: ignore,
    begun: ignore,
    unpinned: ignore,
    exited: ignore,
  });
  return { runner, guest: new GuestTable(memory!) };
}

/** Has the guest claim a task, the next in its order, at every third compare-and-swap of this side. */
function withBusyGuest(guest: GuestTable, tasks: readonly Task[], act: () => void): Task[] {
  const begun: Task[] = [];
  const atomics = Atomics as { compareExchange: typeof Atomics.compareExchange };
  const own = atomics.compareExchange;
  const sent = tasks.map(({ slot, number }) => ({ slot, number }));
  let at = 0;
  let accesses = 0;
  atomics.compareExchange = ((...args: Parameters<typeof own>) => {
    atomics.compareExchange = own;
    for (let claimed = accesses++ % 3 !== 2; !claimed && at < tasks.length; at++) {
      claimed = guest.claim(sent[at]!.slot, sent[at]!.number);
      if (claimed) begun.push(tasks[at]!);
    }
    atomics.compareExchange = guestFirst;
    return own(...args);
  }) as typeof own;
  const guestFirst = atomics.compareExchange;
  try {
    act();
  } finally {
    atomics.compareExchange = own;
  }
  return begun;
}

describe('WorkerRunner', () => {
  for (const [what, take] of [
    ['takeLower()', (runner: WorkerRunner) => runner.takeLower(1)],
    ['takeOldest() of all', (runner: WorkerRunner) => runner.takeOldest(Infinity)],
  ] as const) {
    it(`${what} leaves to the worker, which begins tasks meanwhile, only what was submitted before all that it takes`, () => {
      const { runner, guest } = runnerAndGuest();
      const epoch = new Epochs().enter();
      const tasks = Array.from({ length: 20 }, (_, i) => new Task(callable, [], i, undefined, epoch, undefined, 0));
      runner.send(tasks);
      let taken: Task[] = [];
      const begun = withBusyGuest(guest, tasks, () => {
        taken = take(runner);
      });
      expect(begun.length).to.be.above(0);
      expect(begun.length + taken.length).to.equal(tasks.length);
      const orders = (some: Task[]) => some.map(({ order }) => order);
      expect(Math.max(...orders(begun))).to.be.below(Math.min(...orders(taken)));
    });
  }
});
