import { expect } from 'chai';
import { type BridgePort, PortMux } from '../../dist/node/port-mux.js';
import { settled } from '../support/watchdog.js';

/** Two muxes with nothing between them but a turn of the event loop. */
function pair(): { maker: PortMux; opener: PortMux; messages: unknown[][] } {
  const messages: unknown[][] = [];
  const maker: PortMux = new PortMux(false, (message) => {
    messages.push(message);
    opener.receive(structuredClone(message));
  });
  const opener: PortMux = new PortMux(true, (message) => {
    messages.push(message);
    maker.receive(structuredClone(message));
  });
  return { maker, opener, messages };
}

/** What a port hears, its end as 'closed'. */
function heard(port: BridgePort): unknown[] {
  const all: unknown[] = [];
  port.on('message', (message) => {
    all.push(message);
  });
  port.on('close', () => {
    all.push('closed');
  });
  return all;
}

/** A few turns of the event loop: enough for an answer to an answer. */
async function turns(): Promise<void> {
  for (let i = 0; i < 5; i++) await settled(new Promise((resolve) => setImmediate(resolve)));
}

describe('ports over one port', () => {
  it('messages arrive in order, both ways, each at its own port', async () => {
    const { maker, opener } = pair();
    const [one, two] = [maker.create(), maker.create()];
    const [first, second] = [opener.open(one.id), opener.open(two.id)];
    const all = [one.port, two.port, first, second].map(heard);
    for (const i of [1, 2, 3]) {
      one.port.postMessage(`one ${String(i)}`);
      second.postMessage(`second ${String(i)}`);
    }
    await turns();
    expect(all).to.deep.equal([[], ['second 1', 'second 2', 'second 3'], ['one 1', 'one 2', 'one 3'], []]);
  });

  it('what is posted in one turn goes in one message', async () => {
    const { maker, opener, messages } = pair();
    const made = Array.from({ length: 100 }, () => maker.create());
    const opened = made.map(({ id }) => heard(opener.open(id)));
    for (const { port, id } of made) port.postMessage(id);
    await turns();
    expect(messages).to.have.length(1);
    expect(opened).to.deep.equal(made.map(({ id }) => [id]));
  });

  it('what is posted turn after turn waits a few turns for more, and no longer; a turn without more sends it', async () => {
    const { maker, messages } = pair();
    const { port } = maker.create();
    const turn = () => settled(new Promise((resolve) => setImmediate(resolve)));
    let posted = 0;
    while (messages.length === 0 && posted < 100) {
      port.postMessage(posted++);
      await turn();
    }
    expect(posted).to.be.within(2, 10);
    const sent = messages.length;
    port.postMessage('alone');
    for (let i = 0; i < 4; i++) await turn();
    expect(messages.slice(sent)).to.have.length(1);
  });

  it('what it is given to carry goes with what ports post in the same turn, in order, and not later than what follows', async () => {
    const messages: unknown[][] = [];
    const all: unknown[] = [];
    const maker = new PortMux(false, (message) => {
      messages.push(message);
      opener.receive(message);
    });
    const opener: PortMux = new PortMux(
      true,
      () => undefined,
      (message) => {
        all.push(message);
      },
    );
    const { id, port } = maker.create();
    opener.open(id).on('message', (message) => {
      all.push(message);
    });
    port.postMessage('one');
    maker.carry(['two']);
    port.postMessage('three');
    await turns();
    expect([messages.length, all]).to.deep.equal([1, ['one', ['two'], 'three']]);
    maker.carry(['four']);
    maker.keepOrder();
    expect(all.at(-1)).to.deep.equal(['four']);
    maker.keepOrder();
    await turns();
    expect([messages.length, all.length]).to.deep.equal([2, 4]);
  });

  it('what came before the port was opened is heard first', async () => {
    const { maker, opener } = pair();
    const { id, port } = maker.create();
    port.postMessage('apple');
    await turns();
    const opened = heard(opener.open(id));
    // Under way while the early ones are told.
    port.postMessage('banana');
    await turns();
    expect(opened).to.deep.equal(['apple', 'banana']);
  });

  it('a port that was closed before it was opened tells what had come, and its end', async () => {
    const { maker, opener } = pair();
    const { id, port } = maker.create();
    port.postMessage('apple');
    port.close();
    await turns();
    const opened = heard(opener.open(id));
    expect(opened, 'before anybody can listen').to.deep.equal([]);
    await turns();
    expect(opened).to.deep.equal(['apple', 'closed']);
    expect([maker.size, opener.size]).to.deep.equal([0, 0]);
  });

  for (const side of ['maker', 'opener'] as const) {
    it(`close() of one side is heard once by the other one, and leaves nothing behind: ${side}`, async () => {
      const { maker, opener } = pair();
      const { id, port } = maker.create();
      const ends = { maker: port, opener: opener.open(id) };
      const all = { maker: heard(ends.maker), opener: heard(ends.opener) };
      ends[side].postMessage('apple');
      ends[side].close();
      ends[side].postMessage('too late');
      ends[side].close();
      const other = side === 'maker' ? 'opener' : 'maker';
      ends[other].postMessage('under way');
      await turns();
      expect(all[other]).to.deep.equal(['apple', 'closed']);
      expect(all[side], 'nothing after its own close').to.deep.equal(['closed']);
      expect([maker.size, opener.size]).to.deep.equal([0, 0]);
    });
  }

  it('close() on both sides at once leaves nothing behind', async () => {
    const { maker, opener } = pair();
    const { id, port } = maker.create();
    const other = opener.open(id);
    await turns();
    port.close();
    other.close();
    await turns();
    expect([maker.size, opener.size]).to.deep.equal([0, 0]);
  });

  it('the end of the other side ends all ports, also those opened later', async () => {
    const { maker, opener } = pair();
    const { id, port } = maker.create();
    const all = [heard(port), heard(opener.open(id))];
    maker.close();
    opener.close();
    const late = heard(maker.create().port);
    await turns();
    expect([...all, late]).to.deep.equal([['closed'], ['closed'], ['closed']]);
    port.postMessage('apple');
    await turns();
    expect([maker.size, opener.size]).to.deep.equal([0, 0]);
  });
});
