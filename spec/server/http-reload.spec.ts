import { setTimeout as think } from 'node:timers/promises';
import { once } from 'node:events';
import { Agent } from 'node:http';
import type { Socket } from 'node:net';
import { expect } from 'chai';
import type { PreforkedServer } from 'concurrent-futures/server';
import { fetchFrom } from '../support/http.js';
import { at, HttpServers, pidOf } from '../support/http-servers.js';
import { Mood } from '../support/mood.js';
import { lives } from '../support/scripts.js';
import { dial, readToEnd } from '../support/tcp.js';
import { eventually, rejectionAs, rejectionOf, settled } from '../support/watchdog.js';

/** ms that a client thinks: longer than a server that closes keeps connections without a request. */
const THINKS_MS = 600;

/** Waits until another process than this one answers. */
async function successorOf(pid: number, port: number): Promise<number> {
  for (;;) {
    const answering = await pidOf(port);
    if (answering !== pid) return answering;
  }
}

/** Reads to the end, a megabyte at a time with a pause after it, and counts the bytes. */
async function readSlowly(socket: Socket): Promise<number> {
  let bytes = 0;
  let sincePause = 0;
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    sincePause += chunk.length;
    if (sincePause < 1_000_000) continue;
    sincePause = 0;
    await think(40);
  }
  return bytes;
}

describe('serveHttp: processes that end or are replaced', () => {
  const servers = new HttpServers();
  const serve = servers.serve.bind(servers);
  const makeGate = servers.makeGate.bind(servers);

  for (const [what, end] of [
    ['reload()', (server: PreforkedServer) => server.reload()],
    ['close()', (server: PreforkedServer) => server.close()],
  ] as const) {
    it(`${what} lets a response leave that was ended whole, however slowly its client reads`, async () => {
      const server = await serve('listener');
      const client = await dial(server.address().port);
      client.write('GET /large HTTP/1.1\r\nHost: apple\r\nConnection: close\r\n\r\n');
      await settled(once(client, 'readable'), 'the begin of the response');
      const ending = end(server);
      expect(await settled(readSlowly(client), 'the response')).to.be.above(20_000_000);
      await settled(ending, what);
    });
  }

  it('reload() keeps connections for clients that may come back, and tells them with the next answer', async () => {
    const server = await serve('listener');
    const { port } = server.address();
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const ask = () => fetchFrom(port, '/pid', { agent });
    try {
      const { text: before } = await ask();
      const reloading = server.reload();
      const after = await successorOf(Number(before), port);
      await think(THINKS_MS);
      const last = await ask();
      expect([last.text, last.headers.connection]).to.deep.equal([before, 'close']);
      expect((await ask()).text).to.equal(String(after));
      await settled(reloading, 'reload()');
    } finally {
      agent.destroy();
    }
  });

  it('reload() ends connections on which nothing comes when their time is over', async () => {
    const server = await serve('listener', { keepAliveTimeout: 200 });
    const { port } = server.address();
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    try {
      const { text } = await fetchFrom(port, '/pid', { agent });
      await settled(server.reload(), 'reload()');
      expect(lives(Number(text))).to.equal(false);
    } finally {
      agent.destroy();
    }
  });

  it('clients are told with answers to requests, too, that were under way before', async () => {
    const server = await serve('listener');
    const { port } = server.address();
    const gate = makeGate();
    const agent = new Agent({ keepAlive: true });
    try {
      const pid = await pidOf(port);
      const waiting = fetchFrom(port, at('/wait', gate), { agent });
      await gate.arrived();
      const reloading = server.reload();
      await successorOf(pid, port);
      gate.open();
      expect((await waiting).headers.connection).to.equal('close');
      await settled(reloading, 'reload()');
    } finally {
      agent.destroy();
    }
  });

  it('all requests are answered that a client had sent ahead', async () => {
    const server = await serve('listener', { keepAliveTimeout: 200 });
    const { port } = server.address();
    const gate = makeGate();
    const pid = await pidOf(port);
    const client = await dial(port);
    const answers = readToEnd(client);
    const send = (path: string) => client.write(`GET ${path} HTTP/1.1\r\nHost: apple\r\n\r\n`);
    send(at('/wait', gate));
    send('/pid');
    await eventually(() => server.stats().active === 2, 'the first requests');
    const reloading = server.reload();
    await successorOf(pid, port);
    send('/pid');
    send('/pid');
    await eventually(() => server.stats().active === 4, 'all requests');
    gate.open();
    const text = (await answers).toString();
    expect(text.match(/HTTP\/1\.1 200 /g), 'answers').to.have.length(4);
    await settled(reloading, 'reload()');
  });

  it('a client that stays does not hold up the next reload()', async () => {
    const server = await serve('listener');
    const { port } = server.address();
    const gate = makeGate();
    const first = await pidOf(port);
    const staying = fetchFrom(port, at('/wait', gate));
    await gate.arrived();
    const reloads = [server.reload()];
    const second = await successorOf(first, port);
    reloads.push(server.reload());
    await settled(successorOf(second, port), 'the second reload');
    gate.open();
    expect((await staying).text).to.equal('waited');
    await settled(Promise.all(reloads), 'the reloads');
  });

  it('processes that end with a client that stays get no successors, whatever becomes of a reload()', async () => {
    using mood = new Mood();
    const server = await serve(mood.app, { processes: 2 });
    const { port } = server.address();
    const gate = makeGate();
    const staying = [fetchFrom(port, at('/wait', gate)), fetchFrom(port, at('/wait', gate))];
    await gate.arrived(2);
    const first = Promise.allSettled([server.reload()]);
    await mood.taken(4);
    mood.is('fails');
    await eventually(() => mood.times === 4, 'the first reload');
    expect(await rejectionAs(server.reload(), RangeError)).to.have.property('message', 'in a bad mood');
    mood.is('loads');
    const before = mood.times;
    const last = server.reload();
    await mood.taken(before + 2);
    gate.open();
    await Promise.all(staying);
    await settled(Promise.all([first, last]), 'the reloads');
    expect(mood.times - before, 'processes that the last one started').to.equal(2);
  });

  it('reload() begins anew where a successor never comes to its end', async () => {
    using mood = new Mood();
    const server = await serve(mood.app);
    const { port } = server.address();
    const pid = await pidOf(port);
    mood.is('hangs');
    const hanging = server.reload();
    await mood.taken(2);
    mood.is('loads');
    await settled(Promise.all([hanging, server.reload()]), 'both');
    expect(await pidOf(port)).not.to.equal(pid);
    expect(mood.times).to.equal(3);
  });

  it('reload() takes the place of a process that starts in place of a dead one, and reports no death', async () => {
    using mood = new Mood();
    const errors: unknown[] = [];
    const server = await serve(mood.app, { onWorkerError: (error) => errors.push(error) });
    const { port } = server.address();
    mood.is('hangs');
    await rejectionOf(fetchFrom(port, '/die'));
    await mood.taken(2);
    mood.is('loads');
    await settled(server.reload(), 'reload()');
    expect(await fetchFrom(port, '/pid')).to.include({ status: 200 });
    expect([mood.times, errors.length]).to.deep.equal([3, 1]);
  });

  it('reload() starts a process at once where none is left, and ends when it listens', async () => {
    using mood = new Mood();
    const errors: unknown[] = [];
    const server = await serve(mood.app, { onWorkerError: (error) => errors.push(error) });
    const { port } = server.address();
    mood.is('fails');
    await rejectionOf(fetchFrom(port, '/die'));
    await eventually(() => errors.length >= 2, 'the deaths');
    mood.is('loads');
    const before = mood.times;
    await settled(server.reload(), 'reload()');
    expect(mood.times).to.be.above(before);
    expect(await fetchFrom(port, '/pid')).to.include({ status: 200 });
  });

  it('reload() of a server that was closed rejects', async () => {
    const server = await serve('listener');
    await settled(server.close(), 'close()');
    expect(await rejectionAs(server.reload(), Error)).to.have.property('message', 'The HTTP server was closed');
  });
});
