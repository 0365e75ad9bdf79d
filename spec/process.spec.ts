import { expect } from 'chai';
import { ProcessPoolExecutor } from 'concurrent-futures/process';
import { describeBehaviour } from './behaviour/index.js';
import { capabilities, makeExecutor } from './support/process-pool.js';
import { settled } from './support/watchdog.js';

describeBehaviour('ProcessPoolExecutor', makeExecutor, capabilities);

describe('ProcessPoolExecutor: processes', () => {
  it('tasks run in another process', async () => {
    await using pool = new ProcessPoolExecutor(1);
    expect(await settled(pool.submit(() => process.pid))).to.not.equal(process.pid);
  });
});
