import { expect } from 'chai';
import type { Socket } from 'node:net';
import { BridgedSocket } from '../../dist/node/bridged-socket.js';
import { closeServed } from '../../dist/node/served-socket.js';
import { useFakeClock } from '../support/fake-clock.js';
import { rejectionAs, settled } from '../support/watchdog.js';

describe('closeServed()', () => {
  const clock = useFakeClock();

  /** A socket whose peer takes what it is written when told to, and what became of it. */
  function makeSocket() {
    const told: string[] = [];
    const takers: (() => void)[] = [];
    const line = {
      bytesSent: 0,
      read: () => undefined,
      write: (_chunk: unknown, done: () => void) => takers.push(done),
      end: (done: () => void) => {
        done();
      },
      destroy: () => told.push('destroyed'),
      reset: () => told.push('reset'),
      set: () => undefined,
    };
    const address = [undefined, undefined, undefined, undefined, undefined, undefined] as const;
    const socket = new BridgedSocket([...address], line, true) as unknown as Socket;
    return { socket, told, take: () => takers.shift()?.() };
  }

  it('resets the connection of a peer that takes nothing for 30 seconds, and says so', async () => {
    const { socket, told } = makeSocket();
    socket.write('apple');
    const closing = closeServed(socket, false);
    clock().tick(29_999);
    expect(told).to.deep.equal([]);
    clock().tick(1);
    expect(String(await rejectionAs(closing as Promise<void>, Error))).to.match(/took nothing for 30000 ms/);
    expect(told).to.deep.equal(['reset', 'destroyed']);
  });

  it('is done when all has been taken, and gives the peer 5 more seconds to end its side', async () => {
    const { socket, told, take } = makeSocket();
    socket.write('apple');
    const closing = closeServed(socket, false);
    clock().tick(20_000);
    take();
    await settled(closing as Promise<void>);
    clock().tick(4999);
    expect(told).to.deep.equal([]);
    clock().tick(1);
    expect(told).to.deep.equal(['destroyed']);
  });
});
