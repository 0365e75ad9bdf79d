import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect } from 'chai';

describe('examples: elastic-udp-server', function () {
  // The example takes some 2 s. The child is killed before mocha gives up on it.
  this.timeout(60_000);

  let output: string;
  before('the example ends by itself with exit code 0', async () => {
    const run = promisify(execFile);
    const { stdout, stderr } = await run(process.execPath, ['.docs/examples/elastic-udp-server/main.js'], {
      timeout: 50_000,
      killSignal: 'SIGKILL',
    });
    expect(stderr).to.equal('');
    output = stdout;
  });

  it('answers every question', () => {
    expect(output).to.include('248 questions were answered.\n');
    expect(output).to.match(/^\d+ datagrams came: \d+ served, 0 dropped, 0 failed\.$/m);
  });

  it('grows under the burst and shrinks after it', () => {
    const [, most, atLast] = /^The pool grew to (\d+) workers and shrank to (\d+)\.$/m.exec(output) ?? [];
    expect(Number(most)).to.be.within(5, 12);
    expect(Number(atLast)).to.equal(2);
  });

  it('shows its live numbers: each worker once, busy or idle', () => {
    const lines = [...output.matchAll(/^[\d.]+ s {2}(■*)(□*) {2,}(\d+) of +(\d+) workers busy, +\d+ questions wait/gm)];
    expect(lines.length).to.be.above(2);
    for (const [line, busy, idle, busyCount, workers] of lines) {
      expect(busy!.length, line).to.equal(Number(busyCount));
      expect(busy!.length + idle!.length, line).to.equal(Number(workers));
    }
    expect(lines.at(-1)!.slice(1, 3)).to.deep.equal(['', '□□']);
  });
});
