import { inspect } from 'node:util';
import { expect } from 'chai';
import * as root from 'concurrent-futures';
import {
  BrokenExecutor,
  BrokenProcessPool,
  BrokenThreadPool,
  CancelledError,
  WorkerDiedError,
} from 'concurrent-futures';

const NAMES = [
  'CancelledError',
  'TimeoutError',
  'InvalidStateError',
  'QueueFullError',
  'ExecutorShutdownError',
  'BrokenExecutor',
  'BrokenThreadPool',
  'BrokenProcessPool',
  'WorkerDiedError',
] as const;

describe('errors', () => {
  for (const name of NAMES) {
    it(`${name} is an exported Error with its class name as name`, () => {
      const error = new root[name]('what to do');
      expect(error).to.be.instanceOf(Error);
      expect(error).to.be.instanceOf(root[name]);
      expect(error.name).to.equal(name);
      expect(error.message).to.equal('what to do');
      expect(String(error)).to.equal(`${name}: what to do`);
      expect(error.stack).to.match(new RegExp(`^${name}: what to do\n`));
      expect(inspect(error)).to.match(new RegExp(`^${name}: what to do\n`));
    });

    it(`${name} does not list its name among its own properties`, () => {
      expect(Object.keys(new root[name]('m'))).not.to.include('name');
      expect(Object.hasOwn(new root[name]('m'), 'name')).to.equal(false);
    });
  }

  it('CancelledError has a message of its own that says what to do', () => {
    expect(new CancelledError().message).to.match(/cancelled\(\)/);
  });

  it('BrokenExecutor is the base of BrokenThreadPool, BrokenProcessPool and WorkerDiedError', () => {
    for (const error of [new BrokenThreadPool('m'), new BrokenProcessPool('m'), new WorkerDiedError('m')]) {
      expect(error).to.be.instanceOf(BrokenExecutor);
    }
    expect(new BrokenThreadPool('m')).not.to.be.instanceOf(BrokenProcessPool);
    expect(new WorkerDiedError('m')).not.to.be.instanceOf(BrokenThreadPool);
  });

  it('BrokenThreadPool carries its cause', () => {
    const cause = new Error('the initializer failed');
    expect(new BrokenThreadPool('m', { cause }).cause).to.equal(cause);
    expect('cause' in new BrokenThreadPool('m')).to.equal(false);
  });

  it('WorkerDiedError carries exit code, signal and cause as far as they are known', () => {
    const cause = new Error('out of memory');
    const known = new WorkerDiedError('m', { exitCode: 0, signal: 'SIGKILL', cause });
    expect([known.exitCode, known.signal, known.cause]).to.deep.equal([0, 'SIGKILL', cause]);
    const unknown = new WorkerDiedError('m');
    expect([unknown.exitCode, unknown.signal]).to.deep.equal([undefined, undefined]);
    expect('cause' in unknown).to.equal(false);
  });
});
