import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect } from 'chai';

describe('examples: two-thousand-waiting', function () {
  // The example takes some 3 s on two idle cores. The child is killed before mocha gives up on it.
  this.timeout(120_000);

  let output: string;
  before('the example ends by itself with exit code 0', async () => {
    const run = promisify(execFile);
    const { stdout, stderr } = await run(process.execPath, ['.docs/examples/two-thousand-waiting/main.js'], {
      timeout: 110_000,
      killSignal: 'SIGKILL',
    });
    expect(stderr).to.equal('');
    output = stdout;
  });

  /** The last column of a row of the table: MB. */
  const added = (row: string) =>
    Number(new RegExp(`│ ${row} +│.*│ +(-?[\\d,]+) MB │`).exec(output)?.[1]?.replaceAll(',', ''));

  it('has two thousand tasks wait on sockets at once in two threads', () => {
    expect(output).to.include('2000 tasks waited in 2 threads, and 2000 heard the word\n');
  });

  it('has fifty tasks wait in fifty threads', () => {
    expect(output).to.include('50 tasks waited in 50 threads, and 50 heard the word\n');
  });

  it('adds at most 70 MB for two thousand waiting tasks', () => {
    expect(added('2000 tasks in these')).to.be.at.most(70);
  });

  it('projects what two thousand threads would take from the fifty it measured', () => {
    const fifty = added('50 tasks in as many threads');
    // The column holds whole megabytes, one in fifty of which counts forty times.
    expect(added('2000 tasks in as many threads \\(projected\\)')).to.be.closeTo(fifty * 40, 20);
    expect(fifty * 40).to.be.above(added('2000 tasks in these') * 10);
  });
});
