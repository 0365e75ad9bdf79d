import { expect } from 'chai';
import { Slots } from '../../dist/node/slots.js';
import { settled } from '../support/watchdog.js';

/** Two places, and so many who may wait. */
function twoPlaces(mostWaiting: number): { slots: Slots<string>; begun: string[] } {
  const begun: string[] = [];
  return {
    slots: new Slots(
      () => 2,
      mostWaiting,
      (entry: string) => begun.push(entry),
    ),
    begun,
  };
}

const NOTHING = { accepted: 0, active: 0, waiting: 0, refused: 0, completed: 0, failed: 0 };

describe('slots of a server', () => {
  it('enter() gives places, then room in the line, then neither', () => {
    const { slots, begun } = twoPlaces(1);
    expect(['a', 'b', 'c', 'd'].map((entry) => slots.enter(entry))).to.deep.equal([true, true, true, false]);
    expect(begun).to.deep.equal(['a', 'b']);
    expect(slots.counts()).to.deep.equal({ ...NOTHING, accepted: 4, active: 2, waiting: 1, refused: 1 });
  });

  it('release() gives the place to whoever has waited longest, and counts how it went', () => {
    const { slots, begun } = twoPlaces(5);
    for (const entry of ['a', 'b', 'c', 'd']) slots.enter(entry);
    slots.release('completed');
    slots.release('failed');
    expect(begun).to.deep.equal(['a', 'b', 'c', 'd']);
    expect(slots.counts()).to.deep.equal({ ...NOTHING, accepted: 4, active: 2, completed: 1, failed: 1 });
  });

  it('a line of 100,000 whose entries end as they begin is no deep stack', () => {
    let begun = 0;
    const slots = new Slots<number>(() => 1, Infinity, begin);
    function begin(entry: number): void {
      begun++;
      if (entry > 0) slots.release('completed');
    }
    for (let i = 0; i < 100_000; i++) slots.enter(i);
    slots.release('completed');
    expect(begun).to.equal(100_000);
    expect(slots.counts()).to.deep.equal({ ...NOTHING, accepted: 100_000, completed: 100_000 });
  });

  it('leave() takes one out of the line, who has failed; whoever has a place stays', () => {
    const { slots, begun } = twoPlaces(5);
    for (const entry of ['a', 'b', 'c', 'd']) slots.enter(entry);
    expect([slots.leave('c'), slots.leave('a'), slots.leave('c')]).to.deep.equal([true, false, false]);
    slots.release('completed');
    expect(begun).to.deep.equal(['a', 'b', 'd']);
    expect(slots.counts()).to.deep.equal({ ...NOTHING, accepted: 4, active: 2, completed: 1, failed: 1 });
  });

  it('close() refuses who waits and who comes, and resolves when the last place is given back', async () => {
    const { slots } = twoPlaces(5);
    for (const entry of ['a', 'b', 'c']) slots.enter(entry);
    const away: string[] = [];
    let closed = false;
    const closing = slots
      .close((entry) => away.push(entry))
      .then(() => {
        closed = true;
      });
    expect([away, slots.enter('d')]).to.deep.equal([['c'], false]);
    slots.release('completed');
    await Promise.resolve();
    expect(closed).to.equal(false);
    slots.release('failed');
    await settled(closing);
    await settled(slots.close(() => undefined));
    expect(slots.counts()).to.deep.equal({ ...NOTHING, accepted: 4, refused: 2, completed: 1, failed: 1 });
  });

  it('whoever has a place but no room waits in line, and begins when there is room', async () => {
    const begun: string[] = [];
    const waiters: (() => void)[] = [];
    const room = { open: false, whenOpen: () => new Promise<void>((resolve) => waiters.push(resolve)) };
    const slots = new Slots(
      () => 3,
      2,
      (entry: string) => begun.push(entry),
      room,
    );
    expect(['a', 'b', 'c'].map((entry) => slots.enter(entry))).to.deep.equal([true, true, false]);
    expect([begun, waiters.length]).to.deep.equal([[], 1]);
    // Room for one is for one.
    waiters.shift()?.();
    await Promise.resolve();
    expect([begun, waiters.length]).to.deep.equal([['a'], 1]);
    room.open = true;
    slots.enter('d');
    expect(begun).to.deep.equal(['a', 'b', 'd']);
    expect(slots.counts()).to.deep.equal({ ...NOTHING, accepted: 4, active: 3, refused: 1 });
    // Nobody is in line any more.
    waiters.shift()?.();
    await Promise.resolve();
    expect([begun.length, waiters.length]).to.deep.equal([3, 0]);
  });
});
