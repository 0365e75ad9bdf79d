import { once } from 'node:events';
import { connect } from 'node:net';
import { expect } from 'chai';
import { Acceptor, lend } from '../../dist/node/acceptor.js';
import { bindAddress } from '../../dist/node/address.js';
import { rejectionOf, settled } from '../support/watchdog.js';
import { ask, dial } from '../support/tcp.js';

describe('Acceptor', () => {
  it('a paused one goes on as soon as it is lent a handle, however late that comes', async () => {
    let wanted = 0;
    const acceptor = new Acceptor(
      10,
      () => wanted++,
      (socket) => socket.end('apple'),
    );
    // Of another address, for in one process there are no duplicates.
    const [first, second] = [await bindAddress(0, '127.0.0.1'), await bindAddress(0, '127.0.0.1')];
    try {
      await settled(acceptor.start(first.handle));
      expect(String(await ask(first.address.port, ''))).to.equal('apple');
      const wantedAtFirst = wanted;
      expect(wantedAtFirst).to.be.above(0);
      acceptor.pause();
      const refused = connect(first.address.port, '127.0.0.1');
      expect((await settled(once(refused, 'error')))[0]).to.include({ code: 'ECONNREFUSED' });
      acceptor.resume();
      expect(await rejectionOf(dial(second.address.port))).to.include({ code: 'ECONNREFUSED' });
      lend(second.handle);
      expect(String(await ask(second.address.port, ''))).to.equal('apple');
      expect(wanted).to.equal(wantedAtFirst + 1);
    } finally {
      acceptor.close();
    }
    expect(await rejectionOf(dial(second.address.port))).to.include({ code: 'ECONNREFUSED' });
  });
});
