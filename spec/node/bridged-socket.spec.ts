import { expect } from 'chai';
import { BridgedSocket } from '../../dist/node/bridged-socket.js';

describe('BridgedSocket', () => {
  /** A socket over a line that sends half of each chunk, and has it taken when told to. */
  function makeSocket() {
    const takers: (() => void)[] = [];
    const line = {
      bytesSent: 0,
      read: () => undefined,
      write: (chunk: unknown, done: () => void) => {
        const half = (chunk as Uint8Array).length / 2;
        line.bytesSent += half;
        takers.push(() => {
          line.bytesSent += half;
          done();
        });
      },
      end: (done: () => void) => {
        done();
      },
      destroy: () => undefined,
      reset: () => undefined,
      set: () => undefined,
    };
    const address = [undefined, undefined, undefined, undefined, undefined, undefined] as const;
    return { socket: new BridgedSocket([...address], line, true), take: () => takers.shift()?.() };
  }

  it('bytesWritten counts every byte once, sent or not', async () => {
    const { socket, take } = makeSocket();
    socket.write(new Uint8Array(100));
    socket.write(new Uint8Array(10));
    expect(socket.bytesWritten).to.equal(110);
    take();
    expect(socket.bytesWritten).to.equal(110);
    await new Promise((resolve) => setImmediate(resolve));
    expect(socket.bytesWritten).to.equal(110);
    take();
    await new Promise((resolve) => setImmediate(resolve));
    expect(socket.bytesWritten).to.equal(110);
  });

  it("'close' tells whether it came of an error", async () => {
    const told: unknown[] = [];
    for (const error of [undefined, new Error('apple')]) {
      const { socket } = makeSocket();
      socket.on('error', () => undefined);
      const closing = new Promise((resolve) => socket.once('close', resolve));
      socket.destroy(error);
      told.push(await closing);
    }
    expect(told).to.deep.equal([false, true]);
  });

  it('a timeout longer than timers can hold is the longest that they can', () => {
    const { socket } = makeSocket();
    socket.setTimeout(2 ** 40);
    expect(socket.timeout).to.equal(2 ** 31 - 1);
    socket.destroy();
  });
});
