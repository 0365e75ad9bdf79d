import { Serializer } from 'node:v8';
import { expect } from 'chai';
import { type Channel, IpcMultiplexer, TASK_PORT } from '../../dist/node/ipc.js';
import { settled, thrownBy } from '../support/watchdog.js';

describe('IpcMultiplexer', () => {
  it('a message that the channel refuses leaves nobody waiting for it to leave', async () => {
    const leave: (() => void)[] = [];
    let refuses = true;
    const channel: Channel = {
      connected: true,
      send: (_message, _handle, done) => {
        if (refuses) throw new DOMException('refused', 'DataCloneError');
        leave.push(() => {
          done(null);
        });
        return false;
      },
    };
    const ipc = new IpcMultiplexer(channel, 0);
    thrownBy(() => {
      ipc.post(TASK_PORT, ['bad apple']);
    }, DOMException);
    expect(ipc.congested).to.equal(false);
    refuses = false;
    ipc.post(TASK_PORT, ['pear']);
    expect(ipc.congested).to.equal(true);
    const clear = ipc.clear();
    leave[0]?.();
    await settled(clear);
    expect(ipc.congested).to.equal(false);
  });

  it('of several streams none is moved when one of them cannot be', () => {
    const ipc = new IpcMultiplexer({ connected: true, send: () => true }, 0);
    const streams = [new ReadableStream(), new ReadableStream()];
    streams[1]?.getReader();
    thrownBy(() => {
      ipc.post(TASK_PORT, streams, streams);
    }, DOMException);
    expect(streams.map(({ locked }) => locked)).to.deep.equal([false, true]);
  });

  it('a message that is larger than Node can read is refused where it is sent, and the error says so', () => {
    const sent: unknown[] = [];
    const ipc = new IpcMultiplexer({ connected: true, send: (message) => sent.push(message) > 0 }, 0);
    // Two gigabytes are more than a test should take.
    const release = Object.getOwnPropertyDescriptor(Serializer.prototype, 'releaseBuffer') as PropertyDescriptor;
    Object.defineProperty(Serializer.prototype, 'releaseBuffer', {
      ...release,
      value: () => Object.defineProperty(Buffer.alloc(0), 'length', { value: 2 ** 31 }),
    });
    try {
      const { message } = thrownBy(() => {
        ipc.post(TASK_PORT, new Uint8Array(1));
      }, RangeError);
      expect(message).to.include('2147483648 bytes');
    } finally {
      Object.defineProperty(Serializer.prototype, 'releaseBuffer', release);
    }
    expect(sent).to.deep.equal([]);
  });
});
