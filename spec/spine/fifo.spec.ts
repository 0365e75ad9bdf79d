import { expect } from 'chai';
import fc from 'fast-check';
import { Fifo } from '../../dist/fifo.js';

describe('Fifo', () => {
  it('Fifo.shift gives the entries in the order of push, then undefined', () => {
    const fifo = new Fifo<number>();
    for (const n of [1, 2, 3]) fifo.push(n);
    expect([fifo.shift(), fifo.shift(), fifo.shift(), fifo.shift()]).to.deep.equal([1, 2, 3, undefined]);
    expect(fifo.length).to.equal(0);
  });

  it('Fifo.clear empties it, and it is usable afterwards', () => {
    const fifo = new Fifo<number>();
    fifo.push(1);
    fifo.clear();
    expect(fifo.length).to.equal(0);
    expect(fifo.shift()).to.equal(undefined);
    fifo.push(2);
    expect([...fifo]).to.deep.equal([2]);
  });

  it('Fifo iterates over its entries and keeps them', () => {
    const fifo = new Fifo<number>();
    for (const n of [1, 2, 3]) fifo.push(n);
    fifo.shift();
    expect([...fifo]).to.deep.equal([2, 3]);
    expect(fifo.length).to.equal(2);
  });

  it('Fifo does what an array does, for any sequence of operations', () => {
    // Runs of up to 3,000, so that the delivered part is dropped at every size and fill.
    const operation = fc.oneof(
      fc.record({ kind: fc.constant('push' as const), count: fc.integer({ min: 1, max: 3000 }) }),
      fc.record({ kind: fc.constant('shift' as const), count: fc.integer({ min: 1, max: 3000 }) }),
      { arbitrary: fc.record({ kind: fc.constant('clear' as const), count: fc.constant(1) }), weight: 1 },
    );
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 30 }), (operations) => {
        const fifo = new Fifo<number>();
        const model: number[] = [];
        let head = 0;
        let next = 0;
        for (const { kind, count } of operations) {
          for (let i = 0; i < count; i++) {
            if (kind === 'push') {
              fifo.push(next);
              model.push(next++);
            } else if (kind === 'shift') {
              const expected = head < model.length ? model[head++] : undefined;
              if (fifo.shift() !== expected) throw new Error(`expected ${String(expected)}`);
            } else {
              fifo.clear();
              head = model.length;
            }
          }
          expect(fifo.length).to.equal(model.length - head);
        }
        expect([...fifo]).to.deep.equal(model.slice(head));
      }),
    );
  });
});
