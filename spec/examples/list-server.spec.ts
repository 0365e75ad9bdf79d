import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect } from 'chai';

describe('examples: list-server', function () {
  // The example takes less than a second. The child is killed before mocha gives up on it.
  this.timeout(60_000);

  let output: string;
  before('the example ends by itself with exit code 0', async () => {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, ['.docs/examples/list-server/main.js'], {
      timeout: 50_000,
      killSignal: 'SIGKILL',
    });
    expect(stderr).to.equal('');
    output = stdout;
  });

  it('sends the list to each client and echoes what it says ten times', () => {
    expect(output.match(/^client \d got .*$/gm)).to.deep.equal(
      [1, 2, 3, 4, 5].map((client) => `client ${String(client)} got [1, 2, 7, 9, 0] and 10 echoes`),
    );
    expect(output).to.match(/^5 clients were served by 2 threads, 0 failed$/m);
  });

  it('seats three clients in the waiting room while two are served', () => {
    expect(output).to.match(/^2 clients are being served, 3 wait$/m);
  });

  it('serves no client before the thread is through with the one before', () => {
    const ofThread = new Map<string, string[]>();
    for (const [, thread, what] of output.matchAll(/^(thread_\d) (received|closed) connection: port \d+$/gm)) {
      ofThread.set(thread!, [...(ofThread.get(thread!) ?? []), what!]);
    }
    expect([...ofThread.keys()].sort()).to.deep.equal(['thread_0', 'thread_1']);
    const events = [...ofThread.values()];
    for (const what of ['received', 'closed'])
      expect(events.flat().filter((event) => event === what)).to.have.length(5);
    for (const each of events) {
      expect(each).to.deep.equal(each.map((_, index) => (index % 2 === 0 ? 'received' : 'closed')));
    }
  });
});
