import { expect } from 'chai';
import fc from 'fast-check';
import { RoomWaiters } from '../../dist/pool/room.js';
import { useFakeClock } from '../support/fake-clock.js';
import { flushMicrotasks, stateOf } from '../support/promises.js';

describe('RoomWaiters', () => {
  const clock = useFakeClock();

  /** A queue of so many places, and those who waited for one, in the order of their turns. */
  function queueOf(places: number) {
    const queue = { places, taken: 0, most: 0, turns: [] as number[] };
    const room = new RoomWaiters(
      () => queue.places - queue.taken,
      (turn) => setTimeout(turn, 0),
    );
    return {
      queue,
      room,
      /** Waits for room, then takes a place. */
      enter: async (who: number) => {
        await room.wait();
        queue.turns.push(who);
        queue.taken++;
        queue.most = Math.max(queue.most, queue.taken);
      },
      /** A place becomes free. */
      leave: () => {
        queue.taken--;
        room.admit();
      },
    };
  }

  it('RoomWaiters.wait resolves at once when there is room and nobody waits', async () => {
    const { room } = queueOf(1);
    expect(await stateOf(room.wait())).to.equal('fulfilled');
    expect(room.empty).to.equal(true);
  });

  it('RoomWaiters.wait keeps the place it gives at once for whoever asked first', async () => {
    const { room } = queueOf(1);
    expect(await stateOf(room.wait())).to.equal('fulfilled');
    const second = room.wait();
    expect(await stateOf(second)).to.equal('pending');
    clock().tick(1);
    expect(await stateOf(second)).to.equal('fulfilled');
  });

  it('RoomWaiters.wait waits while there is no room, until admit finds some', async () => {
    const { queue, room } = queueOf(0);
    const wait = room.wait();
    room.admit();
    expect(await stateOf(wait)).to.equal('pending');
    expect(room.empty).to.equal(false);
    queue.places = 1;
    room.admit();
    expect(await stateOf(wait)).to.equal('fulfilled');
  });

  it('RoomWaiters.admit lets in one waiter for each place, in the order of their calls', async () => {
    const { queue, enter, leave } = queueOf(2);
    queue.taken = 2;
    for (let who = 0; who < 5; who++) void enter(who);
    leave();
    await flushMicrotasks();
    expect(queue.turns).to.deep.equal([0]);
    await clock().tickAsync(1);
    leave();
    await flushMicrotasks();
    expect(queue.turns).to.deep.equal([0, 1]);
    await clock().runAllAsync();
    expect(queue.turns, 'with no further place').to.deep.equal([0, 1]);
  });

  it('RoomWaiters keeps a place for who was let in until it has had its turn', async () => {
    const { queue, room, leave } = queueOf(1);
    queue.taken = 1;
    const first = room.wait();
    const second = room.wait();
    leave();
    room.admit();
    expect(await stateOf(first)).to.equal('fulfilled');
    expect(await stateOf(second), 'while the place is kept').to.equal('pending');
    const third = room.wait();
    await clock().runAllAsync();
    // The first one did not use it.
    expect([await stateOf(second), await stateOf(third)]).to.deep.equal(['fulfilled', 'fulfilled']);
  });

  it('RoomWaiters lets nobody past those who wait already', async () => {
    const { queue, room, enter } = queueOf(0);
    for (let who = 0; who < 3; who++) void enter(who);
    queue.places = 10;
    void enter(3);
    await flushMicrotasks();
    expect(queue.turns).to.deep.equal([]);
    room.admit();
    await flushMicrotasks();
    expect(queue.turns).to.deep.equal([0, 1, 2, 3]);
  });

  it('RoomWaiters.release lets everybody go', async () => {
    const { room } = queueOf(0);
    const waits = [room.wait(), room.wait()];
    room.release();
    expect(await Promise.all(waits.map(stateOf))).to.deep.equal(['fulfilled', 'fulfilled']);
    expect(room.empty).to.equal(true);
  });

  it('RoomWaiters serves many who wait in their order, however the places become free, and never too many', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 4 }),
        fc.array(fc.constantFrom('enter', 'leave', 'turn', 'tick'), { maxLength: 60 }),
        async (places, events) => {
          const { queue, enter, leave } = queueOf(places);
          queue.taken = places;
          let entered = 0;
          for (const event of events) {
            if (event === 'enter' && queue.taken === places) void enter(entered++);
            else if (event === 'leave' && queue.taken > 0) leave();
            else if (event === 'turn') await flushMicrotasks();
            else if (event === 'tick') await clock().tickAsync(1);
          }
          while (queue.turns.length < entered) {
            await clock().runAllAsync();
            if (queue.taken > 0) leave();
            await flushMicrotasks();
          }
          await clock().runAllAsync();
          expect(queue.turns).to.deep.equal(Array.from({ length: entered }, (_, who) => who));
          expect(queue.most).to.be.at.most(places);
          expect(clock().countTimers()).to.equal(0);
        },
      ),
    );
  });
});
