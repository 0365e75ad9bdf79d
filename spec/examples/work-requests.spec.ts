import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect } from 'chai';

describe('examples: work-requests', function () {
  // The example takes some 3 s on two cores. The child is killed before mocha gives up on it.
  this.timeout(60_000);

  /** What the example asks for first; each 10 is too much and is asked for again as two times 5. */
  const loads = Array.from({ length: 40 }, (_, index) => 1 + ((index * 7) % 10));
  const tooMuch = loads.filter((load) => load === 10).length;

  let output: string;
  before('the example ends by itself with exit code 0', async () => {
    const run = promisify(execFile);
    const { stdout, stderr } = await run(process.execPath, ['.docs/examples/work-requests/main.js'], {
      timeout: 50_000,
      killSignal: 'SIGKILL',
    });
    expect(stderr).to.equal('');
    output = stdout;
  });

  it('calls the callback of every request once, those added from within a callback included', () => {
    const results = [...output.matchAll(/^Result of request #(\d+): (\d+) squared is (\d+)$/gm)];
    const failures = [...output.matchAll(/^Request #(\d+) failed: RangeError: a load of 10 is too much$/gm)];
    expect(failures).to.have.length(tooMuch);
    const ids = [...results, ...failures].map((match) => Number(match[1])).sort((a, b) => a - b);
    expect(ids).to.deep.equal(Array.from({ length: loads.length + 2 * tooMuch }, (_, index) => index + 1));
    for (const [, , load, square] of results) expect(Number(square)).to.equal(Number(load) ** 2);
    const expected = [...loads.filter((load) => load !== 10), ...Array<number>(2 * tooMuch).fill(5)];
    expect(results.map((match) => Number(match[2]))).to.have.members(expected);
    expect(output).to.include(
      `${String(ids.length)} requests: ${String(results.length)} results, ${String(tooMuch)} failures\n`,
    );
  });

  it('shows a status of a pool that is resized, and of a queue that is bounded', () => {
    const status = [...output.matchAll(/^(\d+) workers, (\d+) busy; (\d+) requests in the queue, (\d+) to come$/gm)];
    expect(status).to.not.be.empty;
    for (const [, workers, busy] of status) {
      expect(Number(busy)).to.be.at.most(Number(workers));
      expect(Number(workers)).to.be.at.most(6);
    }
    // What room is counted with are the slots of all workers, those not started yet included.
    for (const [, , , queued] of status) expect(Number(queued)).to.be.at.most(8 + 6);
    for (const text of ['More workers: up to 6', 'Fewer workers: 2', 'The dismissed workers are gone']) {
      expect(output).to.include(text);
    }
  });

  it('waits for the rest when there is nothing more to render', () => {
    expect(output).to.include('Waiting for the rest\n');
  });
});
