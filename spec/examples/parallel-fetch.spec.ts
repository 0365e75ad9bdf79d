import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect } from 'chai';

describe('examples: parallel-fetch', function () {
  // The example takes some 12 s on two cores. The child is killed before mocha gives up on it.
  this.timeout(120_000);

  let output: string;
  before('the example ends by itself with exit code 0', async () => {
    const run = promisify(execFile);
    const { stdout, stderr } = await run(process.execPath, ['.docs/examples/parallel-fetch/main.js'], {
      timeout: 110_000,
      killSignal: 'SIGKILL',
    });
    expect(stderr).to.equal('');
    output = stdout;
  });

  it('prints each of the sixty pages once, as it ends', () => {
    const lines = [...output.matchAll(/^\[ *(\d+)\/60\] \/pages\/(\d+) {2}/gm)];
    const upTo60 = Array.from({ length: 60 }, (_, index) => index + 1);
    expect(lines.map((line) => Number(line[1]))).to.deep.equal(upTo60);
    expect(lines.map((line) => Number(line[2])).sort((a, b) => a - b)).to.deep.equal(upTo60);
  });

  it('reports the two bad pages as what they are', () => {
    expect(output.match(/^.* failed: .*$/gm)?.map((line) => line.replace(/^\[.*?\] /, ''))).to.have.members([
      '/pages/07  failed: no answer within 1000 ms',
      '/pages/23  failed: 500 Internal Server Error',
    ]);
    expect(output).to.include('58 pages are here, 2 are not:\n');
  });

  it('ends each part with a table: one after another, in the pool, speed-up', () => {
    expect(output.match(/one after another +│ +in the pool +│ +speed-up/g)).to.have.length(2);
    const row = / (\w+ \d+ pages) +│ +[\d.]+ s │ +[\d.]+ s │ +[\d.]+ × /g;
    expect([...output.matchAll(row)].map((match) => match[1])).to.deep.equal(['fetch 60 pages', 'digest 58 pages']);
  });

  it('shows which worker made the digests and how the cores were used', () => {
    const counts = [...output.matchAll(/^ {2}\S+_\d+ {2}■+ (\d+)$/gm)].map((match) => Number(match[1]));
    expect(counts.reduce((a, b) => a + b, 0)).to.equal(58);
    expect(output).to.match(/^One after another: +[\d.]+ of \d+ cores busy \(core 0: \d+ %/m);
    expect(output).to.match(/^In the pool: +[\d.]+ of \d+ cores busy \(core 0: \d+ %/m);
  });
});
