import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect } from 'chai';

describe('examples: http-prefork', function () {
  // The example takes some 6 s. The child is killed before mocha gives up on it.
  this.timeout(120_000);

  let output: string;
  before('the example ends by itself with exit code 0', async () => {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, ['.docs/examples/http-prefork/main.js'], {
      timeout: 110_000,
      killSignal: 'SIGKILL',
    });
    expect(stderr).to.equal('');
    output = stdout;
  });

  /** The lines of the tables: the name of the server, transactions, failures. */
  const rows = () => [
    ...output.matchAll(/^│ (\d process\w*) +│ +(\d+) │ +[\d.]+ s │ +\d+ ms │ +\d+ ms │ +\d+\/s │ +(\d+) │$/gm),
  ];

  it('besieges one process and two, with a trivial handler and with one that works', () => {
    const names = ['1 process', '2 processes'];
    expect(rows().map((row) => row[1])).to.deep.equal([...names, ...names]);
    expect(output.match(/^GET \/\S*: .*$/gm)).to.have.length(2);
    expect(output.match(/^2 processes answer [\d.]+ × as many requests as one$/gm)).to.have.length(2);
  });

  it('fails no transaction', () => {
    for (const [, name, transactions, failed] of rows()) {
      expect(Number(transactions), name).to.be.above(100 - 1);
      expect(Number(failed), name).to.equal(0);
    }
  });

  it('answers from each process, as often as the server has counted', () => {
    const shares = [...output.matchAll(/^(\d) process\w*: ([\d +]+) answers came, (\d+) were sent$/gm)];
    expect(shares).to.have.length(4);
    for (const [, processes, answers, sent] of shares) {
      const each = answers!.split(' + ').map(Number);
      expect(each).to.have.length(Number(processes));
      expect(each.reduce((a, b) => a + b, 0)).to.equal(Number(sent));
    }
  });
});
