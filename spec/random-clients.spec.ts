import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect } from 'chai';

/** What bench/servers/random.js prints; the benchmark runs it for ten minutes. */
interface RandomRun {
  stats: { accepted: number; active: number; waiting: number };
  lost: number;
  served: number;
  slots: number;
  workers: number;
}

describe('servers of sockets under clients that behave as they like', function () {
  // Three seconds each, and the time to end. The child is killed before mocha gives up on it.
  this.timeout(60_000);

  for (const kind of ['threads', 'processes', 'preforked']) {
    it(`loses no slot and no worker: ${kind}`, async () => {
      const args = ['bench/servers/random.js', kind, '3000', '7'];
      const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 50_000, killSignal: 'SIGKILL' });
      const run = JSON.parse(stdout) as RandomRun;
      expect(run.stats.accepted).to.be.above(100);
      expect(run.lost, 'slots lost').to.equal(0);
      expect(run.served, 'clients served at once afterwards').to.equal(run.slots);
      expect(run.workers).to.equal(2);
    });
  }
});
