import { expect } from 'chai';
import fc from 'fast-check';
import { TaskList } from '../../dist/pool/task-list.js';
import { type Queueable, TaskQueue } from '../../dist/pool/task-queue.js';
import { collectGarbage } from '../support/garbage.js';

class Entry implements Queueable {
  readonly order: number;
  readonly priority: number;
  list: Queueable['list'] = undefined;
  previous: Queueable['previous'] = undefined;
  next: Queueable['next'] = undefined;

  constructor(order: number, priority = 0) {
    this.order = order;
    this.priority = priority;
  }
}

function orders(entries: Iterable<Entry>): number[] {
  return [...entries].map(({ order }) => order);
}

/** Takes everything out. */
function emptied(queue: TaskQueue<Entry>): number[] {
  const taken: number[] = [];
  for (let entry = queue.take(); entry !== undefined; entry = queue.take()) taken.push(entry.order);
  return taken;
}

describe('TaskList', () => {
  it('TaskList keeps the order of its entries, wherever they enter and leave', () => {
    const list = new TaskList<Entry>();
    const entries = Array.from({ length: 5 }, (_, i) => new Entry(i));
    for (const i of [1, 3, 4]) list.append(entries[i]!);
    list.insertBefore(entries[0]!, entries[1]);
    list.insertBefore(entries[2]!, entries[3]);
    expect(orders(list)).to.deep.equal([0, 1, 2, 3, 4]);
    list.remove(entries[2]!);
    list.remove(entries[4]!);
    expect(list.shift()).to.equal(entries[0]);
    expect(orders(list)).to.deep.equal([1, 3]);
    expect(list.length).to.equal(2);
  });

  it('TaskList says in an entry which list it is in, and nothing when it is in none', () => {
    const list = new TaskList<Entry>();
    const [a, b] = [new Entry(0), new Entry(1)];
    list.append(a);
    list.append(b);
    expect(a.list).to.equal(list);
    list.remove(a);
    expect([a.list, a.previous, a.next, b.previous]).to.deep.equal([undefined, undefined, undefined, undefined]);
  });

  it('TaskList goes on when the entry just handed out is removed', () => {
    const list = new TaskList<Entry>();
    for (let i = 0; i < 5; i++) list.append(new Entry(i));
    const seen: number[] = [];
    for (const entry of list) {
      seen.push(entry.order);
      list.remove(entry);
    }
    expect(seen).to.deep.equal([0, 1, 2, 3, 4]);
    expect(list.first).to.equal(undefined);
  });
});

describe('TaskQueue', () => {
  it('TaskQueue.take gives higher priorities first, and equal ones in the order of push', () => {
    const queue = new TaskQueue<Entry>();
    for (const [order, priority] of [0, 5, 0, -1, 5, Infinity, -Infinity, 0].entries()) {
      queue.push(new Entry(order, priority));
    }
    expect(queue.first?.order).to.equal(5);
    expect(orders(queue)).to.deep.equal([5, 1, 4, 0, 2, 7, 3, 6]);
    expect(emptied(queue)).to.deep.equal([5, 1, 4, 0, 2, 7, 3, 6]);
    expect(queue.length).to.equal(0);
    expect(queue.take()).to.equal(undefined);
  });

  it('TaskQueue takes -0 and 0 for one priority', () => {
    const queue = new TaskQueue<Entry>();
    for (const [order, priority] of [0, -0, 0, -0].entries()) queue.push(new Entry(order, priority));
    expect(emptied(queue)).to.deep.equal([0, 1, 2, 3]);
  });

  it('TaskQueue.remove takes out a task from wherever it stands', () => {
    const queue = new TaskQueue<Entry>();
    const entries = [0, 1, 0, 1, 0].map((priority, order) => new Entry(order, priority));
    for (const entry of entries) queue.push(entry);
    for (const i of [1, 3, 2]) queue.remove(entries[i]!);
    expect(queue.length).to.equal(2);
    expect(entries.map((entry) => queue.has(entry))).to.deep.equal([true, false, false, false, true]);
    expect(emptied(queue)).to.deep.equal([0, 4]);
  });

  it('TaskQueue.putBack puts tasks in the places that they had, between those that came and stayed', () => {
    const queue = new TaskQueue<Entry>();
    for (let order = 0; order < 6; order++) queue.push(new Entry(order));
    const taken = [queue.take(), queue.take(), queue.take()] as Entry[];
    queue.push(new Entry(6));
    queue.putBack([taken[1]!]);
    queue.putBack([taken[0]!, taken[2]!]);
    expect(emptied(queue)).to.deep.equal([0, 1, 2, 3, 4, 5, 6]);
  });

  it('TaskQueue.has is false for tasks of other queues, and for tasks in none', () => {
    const [queue, other] = [new TaskQueue<Entry>(), new TaskQueue<Entry>()];
    const [here, there] = [new Entry(0), new Entry(0)];
    queue.push(here);
    other.push(there);
    expect([queue.has(here), queue.has(there), queue.has(new Entry(1))]).to.deep.equal([true, false, false]);
    queue.take();
    expect(queue.has(here)).to.equal(false);
  });

  it('TaskQueue does what a sorted array does, for any sequence of operations', () => {
    // Many priorities, so that empty ones pile up, or few.
    const priority = fc.oneof(
      fc.integer({ min: -2, max: 2 }),
      fc.integer({ min: -50, max: 50 }),
      fc.double({ noNaN: true }),
    );
    const operation = fc.oneof(
      fc.record({ kind: fc.constant('push' as const), priority }),
      fc.record({ kind: fc.constantFrom('take' as const, 'first' as const), priority: fc.constant(0) }),
      fc.record({ kind: fc.constant('remove' as const), priority: fc.nat() }),
      fc.record({ kind: fc.constant('putBack' as const), priority: fc.nat() }),
    );
    const before = (a: Entry, b: Entry) => b.priority - a.priority || a.order - b.order;
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 200, size: 'max' }), (operations) => {
        const queue = new TaskQueue<Entry>();
        let model: Entry[] = [];
        let taken: Entry[] = [];
        for (const [order, { kind, priority: n }] of operations.entries()) {
          if (kind === 'push') {
            const entry = new Entry(order, n);
            queue.push(entry);
            model.push(entry);
            // Infinity less Infinity is no number.
            model.sort((a, b) => (a.priority === b.priority ? a.order - b.order : before(a, b)));
          } else if (kind === 'take') {
            const entry = queue.take();
            expect(entry).to.equal(model.shift());
            if (entry !== undefined) taken.push(entry);
          } else if (kind === 'remove') {
            const entry = model[n % Math.max(1, model.length)];
            if (entry === undefined) continue;
            queue.remove(entry);
            model = model.filter((other) => other !== entry);
            taken.push(entry);
          } else if (kind === 'putBack') {
            // Every second, third or so of those taken, in the order of submission.
            const back = taken.filter((_, i) => i % ((n % 4) + 1) === 0).sort((a, b) => a.order - b.order);
            taken = taken.filter((entry) => !back.includes(entry));
            queue.putBack(back);
            model.push(...back);
            model.sort((a, b) => (a.priority === b.priority ? a.order - b.order : before(a, b)));
          }
          expect(queue.first).to.equal(model[0]);
          expect(queue.length).to.equal(model.length);
        }
        expect(orders(queue)).to.deep.equal(orders(model));
        expect(model.every((entry) => queue.has(entry)) && !taken.some((entry) => queue.has(entry))).to.equal(true);
        expect(emptied(queue)).to.deep.equal(orders(model));
      }),
    );
  });

  describe('with a priority for each task', () => {
    const COUNT = 100_000;
    // A bucket left behind takes more than 100 bytes.
    const MOST_BYTES = COUNT * 20;

    /** What the use of a queue leaves on the heap, in bytes. */
    async function leftBy(use: (queue: TaskQueue<Entry>) => void): Promise<number> {
      const queue = new TaskQueue<Entry>();
      use(new TaskQueue<Entry>());
      await collectGarbage();
      const before = process.memoryUsage().heapUsed;
      use(queue);
      await collectGarbage();
      const left = process.memoryUsage().heapUsed - before;
      expect(queue.length).to.equal(0);
      return left;
    }

    const uses: Record<string, (queue: TaskQueue<Entry>) => void> = {
      'all pushed, then all taken': (queue) => {
        for (let i = 0; i < COUNT; i++) queue.push(new Entry(i, (i * 7919) % COUNT));
        while (queue.length > 0) queue.take();
      },
      'each taken before the next, which is higher, is pushed': (queue) => {
        for (let i = 0; i < COUNT; i++) {
          queue.push(new Entry(i, i));
          queue.take();
        }
      },
      'each taken before the next, which is lower, is pushed': (queue) => {
        for (let i = 0; i < COUNT; i++) {
          queue.push(new Entry(i, -i));
          queue.take();
        }
      },
      'each removed while a higher one stays first': (queue) => {
        const first = new Entry(0, Infinity);
        queue.push(first);
        for (let i = 1; i < COUNT; i++) {
          const entry = new Entry(i, i);
          queue.push(entry);
          queue.remove(entry);
        }
        queue.remove(first);
      },
      'all pushed, then all removed': (queue) => {
        const entries = Array.from({ length: COUNT }, (_, i) => new Entry(i, i));
        for (const entry of entries) queue.push(entry);
        for (const entry of entries) queue.remove(entry);
      },
    };
    for (const [how, use] of Object.entries(uses)) {
      it(`TaskQueue keeps nothing of priorities that are used up: ${how}`, async () => {
        expect(await leftBy(use)).to.be.below(MOST_BYTES);
      });
    }
  });
});
