import { expect } from 'chai';
import fc from 'fast-check';
import { type Epoch, Epochs } from '../../dist/pool/epochs.js';
import { flushMicrotasks, stateOf } from '../support/promises.js';

describe('Epochs', () => {
  it('Epochs.join resolves at once when nothing was submitted, or all of it has ended', async () => {
    const epochs = new Epochs();
    expect(await stateOf(epochs.join())).to.equal('fulfilled');
    epochs.leave(epochs.enter());
    expect(await stateOf(epochs.join())).to.equal('fulfilled');
  });

  it('Epochs.join waits for what was submitted before it, and not for what comes after', async () => {
    const epochs = new Epochs();
    const before = epochs.enter();
    const join = epochs.join();
    const after = epochs.enter();
    expect(await stateOf(join)).to.equal('pending');
    epochs.leave(before);
    expect(await stateOf(join)).to.equal('fulfilled');
    epochs.leave(after);
  });

  it('Epochs.join waits for the older tasks although those since the last join have ended', async () => {
    const epochs = new Epochs();
    const old = epochs.enter();
    const first = epochs.join();
    const young = epochs.enter();
    const second = epochs.join();
    epochs.leave(young);
    expect([await stateOf(first), await stateOf(second)]).to.deep.equal(['pending', 'pending']);
    epochs.leave(old);
    expect([await stateOf(first), await stateOf(second)]).to.deep.equal(['fulfilled', 'fulfilled']);
  });

  it('Epochs.join serves all who call it in between', async () => {
    const epochs = new Epochs();
    const task = epochs.enter();
    const joins = Array.from({ length: 5 }, () => epochs.join());
    epochs.leave(task);
    expect(await Promise.all(joins.map(stateOf))).to.deep.equal(Array(5).fill('fulfilled'));
  });

  it('Epochs.join resolves exactly when all that entered before it have left, in any order of events', async () => {
    const event = fc.oneof(
      fc.record({ kind: fc.constantFrom('enter' as const, 'join' as const), at: fc.constant(0) }),
      fc.record({ kind: fc.constant('leave' as const), at: fc.nat() }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(event, { maxLength: 40 }), async (events) => {
        const epochs = new Epochs();
        const inside: { epoch: Epoch; at: number }[] = [];
        const joins: { at: number; resolved: boolean }[] = [];
        for (const [now, { kind, at }] of events.entries()) {
          if (kind === 'enter') {
            inside.push({ epoch: epochs.enter(), at: now });
          } else if (kind === 'join') {
            const join = { at: now, resolved: false };
            joins.push(join);
            void epochs.join().then(() => (join.resolved = true));
          } else {
            const [left] = inside.splice(at % Math.max(1, inside.length), 1);
            if (left !== undefined) epochs.leave(left.epoch);
          }
          await flushMicrotasks();
          for (const join of joins) {
            expect(join.resolved).to.equal(!inside.some((task) => task.at < join.at));
          }
        }
      }),
    );
  });
});
