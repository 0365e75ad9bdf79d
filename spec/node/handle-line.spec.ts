import { expect } from 'chai';
import { Server } from 'node:net';
import { HandleLine } from '../../dist/node/handle-line.js';
import { thrownBy } from '../support/watchdog.js';

describe('HandleLine', () => {
  const handle = new Server();

  /** A line whose messages leave when told to. */
  function makeLine() {
    const given: unknown[] = [];
    const leave: (() => void)[] = [];
    const line = new HandleLine((message, _handle, done) => {
      given.push(message);
      leave.push(() => {
        done(null);
      });
      return true;
    });
    return { line, given, leave };
  }

  const ignore = () => undefined;

  it('Node is given one handle that has not left, and the next one when it has', () => {
    const { line, given, leave } = makeLine();
    const told: string[] = [];
    for (const name of ['apple', 'pear', 'plum']) line.send(name, handle, () => told.push(name));
    expect(given).to.deep.equal(['apple']);
    leave[0]?.();
    expect(given).to.deep.equal(['apple', 'pear']);
    leave[1]?.();
    leave[2]?.();
    expect(given).to.deep.equal(['apple', 'pear', 'plum']);
    expect(told).to.deep.equal(['apple', 'pear', 'plum']);
  });

  it('a handle that leaves again, because it did not arrive, has left once', () => {
    const { line, given, leave } = makeLine();
    let told = 0;
    for (const name of ['apple', 'pear', 'plum']) line.send(name, handle, () => told++);
    leave[0]?.();
    leave[0]?.();
    expect(given).to.deep.equal(['apple', 'pear']);
    expect(told).to.equal(1);
  });

  it('nothing overtakes what waits, and whoever sends it hears that it has not left', () => {
    const { line, given, leave } = makeLine();
    expect(line.send('apple', handle, ignore)).to.equal(true);
    expect(line.send('before the line', undefined, ignore)).to.equal(true);
    expect(line.send('pear', handle, ignore)).to.equal(false);
    expect(line.send('behind', undefined, ignore)).to.equal(false);
    expect(given).to.deep.equal(['apple', 'before the line']);
    leave[0]?.();
    leave[2]?.();
    expect(given).to.deep.equal(['apple', 'before the line', 'pear', 'behind']);
  });

  it('what waits is not sent any more when the child is gone', () => {
    const { line, given, leave } = makeLine();
    line.send('apple', handle, ignore);
    line.send('pear', handle, ignore);
    line.close();
    leave[0]?.();
    expect(given).to.deep.equal(['apple']);
  });

  it('a handle whose message cannot be sent holds up nothing', () => {
    const { line, given, leave } = makeLine();
    const failing = new HandleLine((message, ...rest) => {
      if (message === 'bad apple') throw new DOMException('refused', 'DataCloneError');
      return line.send(message, ...rest);
    });
    thrownBy(() => failing.send('bad apple', handle, ignore), DOMException);
    expect(failing.send('pear', handle, ignore)).to.equal(true);
    leave[0]?.();
    expect(failing.send('plum', handle, ignore)).to.equal(true);
    expect(given).to.deep.equal(['pear', 'plum']);
  });
});
