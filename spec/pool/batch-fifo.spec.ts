import { expect } from 'chai';
import fc from 'fast-check';
import { BatchFifo } from '../../dist/pool/batch-fifo.js';

describe('BatchFifo', () => {
  it('BatchFifo.shift gives the entries of all batches in the order of push, then undefined', () => {
    const fifo = new BatchFifo<number>();
    for (const batch of [[1, 2], [], [3], [4, 5]]) fifo.push(batch);
    expect(fifo.length).to.equal(5);
    expect(Array.from({ length: 6 }, () => fifo.shift())).to.deep.equal([1, 2, 3, 4, 5, undefined]);
    expect(fifo.length).to.equal(0);
  });

  it('BatchFifo.clear empties it, and it is usable afterwards', () => {
    const fifo = new BatchFifo<number>();
    fifo.push([1, 2]);
    fifo.push([3]);
    fifo.shift();
    fifo.clear();
    expect(fifo.length).to.equal(0);
    expect(fifo.shift()).to.equal(undefined);
    fifo.push([4]);
    expect([fifo.shift(), fifo.shift()]).to.deep.equal([4, undefined]);
  });

  it('BatchFifo does what an array does, whatever comes', () => {
    const step = fc.oneof(fc.array(fc.nat()), fc.constant('shift' as const), fc.constant('clear' as const));
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const fifo = new BatchFifo<number>();
        const model: number[] = [];
        for (const each of steps) {
          if (each === 'shift') expect(fifo.shift()).to.equal(model.shift());
          else if (each === 'clear') {
            fifo.clear();
            model.length = 0;
          } else {
            model.push(...each);
            fifo.push([...each]);
          }
          expect(fifo.length).to.equal(model.length);
        }
      }),
    );
  });
});
