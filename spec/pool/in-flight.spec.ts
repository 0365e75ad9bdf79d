import { expect } from 'chai';
import { Callable } from '../../dist/pool/callables.js';
import { Epochs } from '../../dist/pool/epochs.js';
import { InFlight } from '../../dist/pool/in-flight.js';
import { Task } from '../../dist/pool/task.js';
import { GuestTable, HostTable } from '../../dist/wire/claim-table.js';

const callable = new Callable({ withdraw: () => false }, 1, { kind: 'named', name: 'work', url: undefined });
const epoch = new Epochs().enter();

function tasksOf(count: number): Task[] {
  return Array.from({ length: count }, (_, order) => new Task(callable, [], order, undefined, epoch, undefined, 0));
}

/** Some tasks in flight, and what the worker shares with this side: nothing where there is no shared memory. */
function inFlightOf(count: number, sharedMemory: boolean) {
  const table = sharedMemory ? new HostTable() : undefined;
  let number = 100;
  const inFlight = new InFlight(table, 2, () => ++number);
  const tasks = tasksOf(count);
  for (const task of tasks) inFlight.add(task);
  return { inFlight, tasks, guest: table === undefined ? undefined : new GuestTable(table.memory) };
}

const orders = (tasks: Iterable<Task>) => [...tasks].map(({ order }) => order);

describe('InFlight', () => {
  for (const sharedMemory of [true, false]) {
    const where = sharedMemory ? 'with shared memory' : 'without shared memory';

    it(`each task has a slot of its own, which another gets after it, ${where}`, () => {
      const { inFlight, tasks } = inFlightOf(2, sharedMemory);
      expect(tasks.map(({ slot }) => slot)).to.deep.equal([0, 1]);
      const [gone] = tasks as [Task];
      inFlight.remove(gone);
      expect([gone.slot, inFlight.at(0), inFlight.size]).to.deep.equal([-1, undefined, 1]);
      const [next] = tasksOf(1) as [Task];
      inFlight.add(next);
      expect([next.slot, inFlight.at(0)]).to.deep.equal([0, next]);
    });

    it(`find() knows a task by its number, not by its slot alone, ${where}`, () => {
      const { inFlight, tasks } = inFlightOf(1, sharedMemory);
      const [task] = tasks as [Task];
      const { number } = task;
      expect(inFlight.find(0, number)).to.equal(task);
      inFlight.remove(task);
      expect(inFlight.find(0, number), 'when it has gone').to.equal(undefined);
      inFlight.add(task);
      expect(inFlight.find(0, number), 'when it was sent again').to.equal(undefined);
      expect(task.id, 'its name in the worker').to.equal(number);
    });
  }

  it('with shared memory, the worker says which tasks have begun', () => {
    const { inFlight, tasks, guest } = inFlightOf(3, true);
    expect([inFlight.unbegun, inFlight.active, inFlight.progress, inFlight.oldest?.order]).to.deep.equal([3, 0, 0, 0]);
    guest!.claim(tasks[0]!.slot, tasks[0]!.number);
    expect([inFlight.unbegun, inFlight.active, inFlight.progress, inFlight.oldest?.order]).to.deep.equal([2, 1, 1, 1]);
    expect([orders(inFlight.begun()), orders(inFlight.ahead())]).to.deep.equal([[0], [1, 2]]);
  });

  it('without shared memory, a task that was sent counts as begun', () => {
    const { inFlight } = inFlightOf(2, false);
    expect([inFlight.unbegun, inFlight.active, inFlight.progress, inFlight.oldest, inFlight.room]).to.deep.equal([
      0,
      2,
      2,
      undefined,
      0,
    ]);
    expect(orders(inFlight.begun())).to.deep.equal([0, 1]);
  });

  it('reclaim() bars the worker from a task, unless it has begun', () => {
    const { inFlight, tasks, guest } = inFlightOf(2, true);
    const [begun, waiting] = tasks as [Task, Task];
    expect(guest!.claim(begun.slot, begun.number)).to.equal(true);
    expect([inFlight.reclaim(begun), inFlight.reclaim(waiting)]).to.deep.equal([false, true]);
    expect(guest!.claim(waiting.slot, waiting.number)).to.equal(false);
  });

  it('reclaim() gives nothing back without shared memory: nobody knows what has begun', () => {
    const { inFlight, tasks } = inFlightOf(1, false);
    expect(inFlight.reclaim(tasks[0]!)).to.equal(false);
  });

  it('busyFor is 0 while the worker has a free slot', () => {
    const { inFlight, tasks, guest } = inFlightOf(3, true);
    callable.estimate = 100;
    guest!.claim(tasks[0]!.slot, tasks[0]!.number);
    expect(inFlight.busyFor).to.equal(0);
    guest!.claim(tasks[1]!.slot, tasks[1]!.number);
    // Two are interleaved, so one of them ends before.
    expect(inFlight.busyFor).to.equal(50);
  });
});
