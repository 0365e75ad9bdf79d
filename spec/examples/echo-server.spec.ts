import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect } from 'chai';

describe('examples: echo-server', function () {
  // The example takes some 6 s on two idle cores. The child is killed before mocha gives up on it.
  this.timeout(120_000);

  let output: string;
  before('the example ends by itself with exit code 0', async () => {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, ['.docs/examples/echo-server/main.js'], {
      timeout: 110_000,
      killSignal: 'SIGKILL',
    });
    expect(stderr).to.equal('');
    output = stdout;
  });

  for (const kind of ['thread', 'process']) {
    it(`serves three clients from a pool of ${kind} workers, and each hears what it said`, () => {
      const part = output.split(/^Echo from /m).find((text) => text.startsWith(kind));
      // In order, though not side by side: a process of the pool may say that somebody hung up in between.
      expect(part?.match(/^ {2}client \d heard: .*$/gm)).to.deep.equal([
        '  client 1 heard: Hello, Guido',
        '  client 2 heard: Hello, Alice',
        '  client 3 heard: Hello, Bob',
      ]);
      const ports = (pattern: RegExp) => [...part!.matchAll(pattern)].map((match) => match[1]).sort();
      const came = ports(/^ {2}\w+_\d: got connection from port (\d+)$/gm);
      expect(came).to.have.length(3);
      expect(ports(/^ {2}\w+_\d: port (\d+) hung up$/gm)).to.deep.equal(came);
    });
  }

  it('answers each of five thousand clients at once, three times', () => {
    expect(output.match(/^.*: 5000 of 5000 clients heard their echo$/gm)).to.have.length(3);
    expect(output).to.include('\na thread each: 25 of 25 clients heard their echo\n');
  });

  it('serves 128 of them at a time from two threads, while the memory stays flat', () => {
    const rows = [...output.matchAll(/│ +5000 │ +(\d+) │ +(\d+) │ +(\d+) │ +(-?\d+) MB │/g)];
    expect(rows.map((row) => row.slice(1, 4).map(Number))).to.deep.equal(Array(3).fill([128, 4872, 2]));
    // A generous bound: sockets of 5,000 clients take some 25 MB, garbage in the threads' heaps the rest.
    for (const row of rows) expect(Number(row[4])).to.be.below(250);
  });

  it('projects what a thread for each of them would take', () => {
    expect(output).to.match(/│ a thread each +│ +25 │ +25 │ +0 │ +\d+ │ +\d+ MB │/);
    const projected = /^A thread for each of 5000 clients would take (\d+) GB\.$/m.exec(output);
    expect(Number(projected?.[1])).to.be.above(1);
  });
});
