import { expect } from 'chai';
import { LostFailures } from '../../dist/lost-failures.js';
import { collectGarbage } from '../support/garbage.js';
import { runNode } from '../support/run-node.js';

/** A module that prints each warning as a line of JSON, runs `body`, collects garbage, and then prints `alive`. */
function program(body: string): string {
  return `
    import { asCompleted, Future, wait } from 'concurrent-futures';
    process.on('warning', ({ name, message }) => console.log(JSON.stringify({ name, message })));
    const fail = (message = 'lost') => {
      const { future, setException } = Future.withResolvers();
      setException(new RangeError(message));
      return future;
    };
    const turn = () => new Promise(setImmediate);
    await (async () => { ${body} })();
    for (let i = 0; i < 10; i++) { await turn(); gc(); }
    await turn();
    console.log('alive');
  `;
}

async function linesOf(body: string): Promise<string[]> {
  const { code, stdout, stderr } = await runNode(program(body), ['--expose-gc', '--no-warnings']);
  expect(stderr).to.equal('');
  expect(code).to.equal(0);
  return stdout.trim().split('\n');
}

describe('lost failures', () => {
  it('Future that failed unobserved does not crash the process, and is reported once when it is collected', async () => {
    const [warning, ...rest] = await linesOf('fail();');
    expect(rest).to.deep.equal(['alive']);
    const { name, message } = JSON.parse(String(warning)) as { name: string; message: string };
    expect(name).to.equal('UnhandledFutureWarning');
    expect(message).to.include('RangeError: lost');
  });

  it('Future reports each of several lost failures', async () => {
    const lines = await linesOf("for (const n of [1, 2, 3]) fail('lost ' + n);");
    expect(lines.at(-1)).to.equal('alive');
    const numbers = lines.slice(0, -1).map((line) => /lost (\d)/.exec(line)?.[1]);
    expect(numbers.sort()).to.deep.equal(['1', '2', '3']);
  });

  it('Future is not reported while somebody holds it', async () => {
    expect(await linesOf('globalThis.held = fail();')).to.deep.equal(['alive']);
  });

  it('Future is not reported when it was cancelled, or succeeded', async () => {
    const body = 'Future.withResolvers().future.cancel(); Future.withResolvers().setResult(1);';
    expect(await linesOf(body)).to.deep.equal(['alive']);
  });

  // One process for all: a report names the way of looking that did not count.
  it('Future is never reported once it was looked at, in whichever way, before or after it failed', async () => {
    const body = `
      fail('outcome').outcome();
      await fail('exception').exception();
      await fail('exception(ms)').exception(5);
      await fail('result').result().catch(() => {});
      await fail('result(ms)').result(5).catch(() => {});
      await fail('then').then(null, () => {});
      await fail('catch').catch(() => {});
      await fail('finally').finally(() => {}).catch(() => {});
      try { await fail('await'); } catch {}
      await Promise.allSettled([fail('allSettled')]);
      for await (const future of asCompleted([fail('asCompleted')])) future.outcome();
      for (const [way, look] of Object.entries({
        exception: (future) => future.exception(),
        catch: (future) => future.catch(() => {}),
        callback: (future) => { future.addDoneCallback((f) => f.outcome()); },
      })) {
        const { future, setException } = Future.withResolvers();
        const looked = look(future);
        setException(new Error(way + ', before it failed'));
        await looked;
      }
      const late = fail('a callback added afterwards');
      late.addDoneCallback((f) => f.outcome());
      await turn();
    `;
    expect(await linesOf(body)).to.deep.equal(['alive']);
  });

  it('Future is reported although it was waited for and inspected: that does not look at the error', async () => {
    const lines = await linesOf(`
      await wait([fail('waited for')]);
      for await (const future of asCompleted([fail('only yielded')])) future.done();
      fail('a callback that does not look').addDoneCallback(() => {});
    `);
    expect(lines).to.have.length(4);
    expect(lines.at(-1)).to.equal('alive');
  });

  it('Future is reported when its error refers back to it', async () => {
    const lines = await linesOf(`
      const { future, setException } = Future.withResolvers();
      setException(Object.assign(new Error('circular'), { future }));
    `);
    expect(lines).to.have.length(2);
    expect(lines[0]).to.include('circular');
  });

  it('Future that rejects an awaited promise without a handler crashes the process, as promises do', async () => {
    const { code, stderr } = await runNode(program('void fail().result();'), ['--expose-gc']);
    expect(code).not.to.equal(0);
    expect(stderr).to.include('RangeError: lost');
  });

  describe('LostFailures', () => {
    const report = async (error: unknown, task?: { name: string; site(): string }): Promise<string[]> => {
      const reports: string[] = [];
      const lost = new LostFailures((message) => reports.push(message));
      const lose = () => {
        lost.watch({}, error, task);
      };
      lose();
      await collectGarbage();
      return reports;
    };

    it('LostFailures names the task and where it was submitted', async () => {
      const [message, ...rest] = await report(new Error('boom'), { name: 'resize', site: () => '    at main.js:1:2' });
      expect(rest).to.deep.equal([]);
      expect(message).to.include('resize').and.include('Error: boom').and.include('    at main.js:1:2');
    });

    it('LostFailures copes without a task, without a site, and with errors that have no text', async () => {
      expect((await report('text'))[0]).to.include('text');
      expect((await report(undefined, { name: 'resize', site: () => '' }))[0]).to.match(/resize.*undefined$/);
      expect((await report(Object.create(null)))[0]).to.include('[object Object]');
      expect((await report(Symbol('s')))[0]).to.include('Symbol(s)');
      const { proxy, revoke } = Proxy.revocable({}, {});
      revoke();
      expect((await report(proxy))[0]).to.include('cannot be described');
    });

    it('LostFailures asks for the site when the future fails, so that it keeps no captured frames', () => {
      let asked = 0;
      const lost = new LostFailures(() => undefined);
      lost.watch({}, new Error('boom'), { name: 'resize', site: () => String(asked++) });
      expect(asked).to.equal(1);
    });

    it('LostFailures reports nothing that is no longer watched', async () => {
      const reports: string[] = [];
      const lost = new LostFailures((message) => reports.push(message));
      const lookAt = () => {
        const future = {};
        lost.watch(future, new Error('boom'), undefined);
        lost.unwatch(future);
      };
      lookAt();
      await collectGarbage();
      expect(reports).to.deep.equal([]);
    });
  });
});
