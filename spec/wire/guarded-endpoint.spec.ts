import { expect } from 'chai';
import { GuardedEndpoint, type PortLike } from '../../dist/wire/guarded-endpoint.js';

/** A port as browsers have them: neither side hears of the end of the other. */
class SilentPort implements PortLike {
  readonly posted: unknown[] = [];

  postMessage(message: unknown): void {
    this.posted.push(message);
  }

  addEventListener(): void {
    // Nothing ever comes.
  }

  start(): void {
    // As above.
  }

  close(): void {
    // As above.
  }
}

describe('GuardedEndpoint, where ports do not tell of their end', () => {
  function make(): { endpoint: GuardedEndpoint; answers: unknown[]; overs: number[] } {
    const overs: number[] = [];
    const answers: unknown[] = [];
    const endpoint = new GuardedEndpoint(
      new SilentPort(),
      (error) => ({ error }),
      () => overs.push(1),
    );
    endpoint.addEventListener('message', (event: { data: { error: Error } }) => answers.push(event.data.error.name));
    return { endpoint, answers, overs };
  }

  it('a release is told once, although the other side ends later', () => {
    const { endpoint, overs } = make();
    endpoint.release();
    endpoint.close();
    expect(overs).to.have.length(1);
  });

  it('a call in flight, and a later one, reject with a WorkerDiedError when the end is told from outside', async () => {
    const { endpoint, answers, overs } = make();
    endpoint.postMessage({ id: 'a', type: 'GET' });
    endpoint.close();
    endpoint.close();
    expect(answers).to.deep.equal(['WorkerDiedError']);
    endpoint.postMessage({ id: 'b', type: 'GET' });
    await Promise.resolve();
    expect(answers).to.deep.equal(['WorkerDiedError', 'WorkerDiedError']);
    expect(overs).to.have.length(1);
  });
});
