import { once } from 'node:events';
import { randomBytes } from 'node:crypto';
import { Agent } from 'node:http';
import { createServer, type AddressInfo } from 'node:net';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { expect } from 'chai';
import { serveHttp } from 'concurrent-futures/server';
import { Gate } from '../support/gate.js';
import { fetchFrom } from '../support/http.js';
import { appUrl, at, HttpServers, pidOf } from '../support/http-servers.js';
import { Mood } from '../support/mood.js';
import { lives, Script } from '../support/scripts.js';
import { ask, closed, dial, readToEnd } from '../support/tcp.js';
import { eventually, rejectionAs, rejectionOf, settled, turns } from '../support/watchdog.js';

describe('serveHttp', () => {
  const servers = new HttpServers();
  const serve = servers.serve.bind(servers);
  const makeGate = servers.makeGate.bind(servers);

  for (const [app, tag] of [
    ['express', 'express'],
    ['koa', 'koa'],
    ['fastify', 'fastify'],
    ['hono', 'hono'],
    ['hono-node', 'hono'],
    ['fetch-handler', 'fetch'],
    ['listener', 'listener'],
  ] as const) {
    it(`an application is served unchanged: ${app}`, async () => {
      const { port } = (await serve(app)).address();
      const hello = await fetchFrom(port, '/hello/apple?n=1');
      expect(hello).to.include({ status: 200, text: 'hello apple 1' });
      expect(hello.headers['x-app']).to.equal(tag);
      const bytes = randomBytes(1_000_000);
      const echoed = await fetchFrom(port, '/echo', { method: 'POST', body: bytes });
      expect(echoed.status).to.equal(200);
      expect(echoed.body.equals(bytes)).to.equal(true);
      expect(await fetchFrom(port, '/nowhere')).to.include({ status: 404 });
      expect(await fetchFrom(port, '/fails')).to.include({ status: 500 });
      expect(await fetchFrom(port, '/hello/banana?n=2')).to.include({ status: 200, text: 'hello banana 2' });
    });
  }

  it('a fetch handler that returns nothing, what is no Response, or one that was sent already fails its request, and no process', async () => {
    const errors: unknown[] = [];
    const server = await serve('fetch-handler', { processes: 1, onWorkerError: (error) => errors.push(error) });
    const { port } = server.address();
    expect(await fetchFrom(port, '/nothing')).to.include({ status: 500 });
    expect(await fetchFrom(port, '/text')).to.include({ status: 500 });
    expect(await fetchFrom(port, '/again')).to.include({ status: 200, text: 'once' });
    expect(await fetchFrom(port, '/again')).to.include({ status: 500 });
    expect(await fetchFrom(port, '/hello/apple?n=1')).to.include({ status: 200 });
    expect(errors).to.deep.equal([]);
  });

  it('a module that was compiled to CommonJS is served by its own default export', async () => {
    const listener = "(request, response) => response.end('apple')";
    const app = `data:text/javascript,export default { __esModule: true, default: ${listener} };`;
    expect(await fetchFrom((await serve(new URL(app))).address().port, '/')).to.include({ text: 'apple' });
  });

  it('a fetch handler that does not read a body leaves its connection to the next request', async () => {
    const { port } = (await serve('fetch-handler')).address();
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    try {
      for (let i = 0; i < 3; i++) {
        const refused = await fetchFrom(port, '/nowhere', { method: 'POST', body: randomBytes(1_000_000), agent });
        expect(refused).to.include({ status: 404 });
        expect(await fetchFrom(port, '/hello/apple?n=1', { agent })).to.include({ status: 200 });
      }
    } finally {
      agent.destroy();
    }
  });

  it('a fetch handler whose body is not sent is told so: to HEAD, and to a client that has left', async () => {
    const server = await serve('fetch-handler');
    const { port } = server.address();
    const cancelled = async (count: number) => {
      while ((await fetchFrom(port, '/cancelled')).text !== String(count));
    };
    expect(await fetchFrom(port, '/endless', { method: 'HEAD' })).to.include({ status: 200 });
    await settled(cancelled(1), 'the end of what HEAD does not get');
    const gate = makeGate();
    const controller = new AbortController();
    const leaving = rejectionOf(fetchFrom(port, at('/endless', gate), { signal: controller.signal }));
    await gate.arrived();
    controller.abort();
    await leaving;
    gate.open();
    await settled(cancelled(2), 'the end of what a client does not get that has left');
  });

  it('a fetch handler gets what is sent to a server as to a proxy; what is no request is answered with 400', async () => {
    const { port } = (await serve('fetch-handler')).address();
    for (const [request, answer] of [
      ['GET http://apple:80/hello/apple?n=1 HTTP/1.1\r\nHost: apple', /^HTTP\/1\.1 200 [^]*hello apple 1/],
      ['GET /hello/apple?n=1 HTTP/1.1\r\nHost: a b', /^HTTP\/1\.1 400 /],
      ['TRACE /hello/apple?n=1 HTTP/1.1\r\nHost: apple', /^HTTP\/1\.1 400 /],
    ] as const) {
      expect((await ask(port, `${request}\r\nConnection: close\r\n\r\n`)).toString()).to.match(answer);
    }
  });

  it('a request that had to wait does not run in the context of the one before it', async () => {
    const server = await serve('with-context', { concurrentTasksPerWorker: 1 });
    const { port } = server.address();
    const gate = makeGate();
    const first = fetchFrom(port, at('/wait', gate));
    await gate.arrived();
    const second = fetchFrom(port, '/banana');
    await eventually(() => server.stats().waiting === 1, 'the one that waits');
    gate.open();
    expect([(await first).text, (await second).text]).to.deep.equal(['nobody', 'nobody']);
  });

  it('close() while a process starts, after a death or for a reload, ends', async () => {
    const errors: unknown[] = [];
    const dying = await serve('listener', { onWorkerError: (error) => errors.push(error) });
    await rejectionOf(fetchFrom(dying.address().port, '/die'));
    await eventually(() => errors.length === 1, 'the death');
    // Its successor is started after a timer.
    await new Promise((resolve) => setTimeout(resolve, 5));
    await settled(dying.close(), 'the end of the server whose process had died');
    const reloading = await serve('listener');
    const reload = rejectionOf(reloading.reload());
    await turns(3);
    await settled(reloading.close(), 'the end of the server that reloads');
    expect(String(await settled(reload, 'the reload'))).to.contain('closed before its process had loaded');
  });

  it('reload() replaces the others although clients of each process stay', async () => {
    const server = await serve('listener', { processes: 2 });
    const { port } = server.address();
    const gate = makeGate();
    const staying = Array.from({ length: 8 }, () => fetchFrom(port, at('/wait', gate)));
    await gate.arrived(8);
    const before = new Set<number>();
    for (let i = 0; i < 30; i++) before.add(await pidOf(port));
    const reload = server.reload();
    // As many in a row come from new ones only when no old one answers any more.
    for (let inARow = 0; inARow < 20;) inARow = before.has(await pidOf(port)) ? 0 : inARow + 1;
    gate.open();
    await settled(Promise.all(staying), 'the clients that stay');
    await settled(reload, 'the reload');
  });

  it('a process that dies while its successor starts gets no second one', async () => {
    const errors: unknown[] = [];
    const server = await serve('listener', { onWorkerError: (error) => errors.push(error) });
    const { port } = server.address();
    const reload = server.reload();
    await rejectionOf(fetchFrom(port, '/die'));
    await settled(reload, 'the reload');
    expect(errors).to.have.length(1);
    const agent = false as unknown as Agent;
    const pids = new Set<string>();
    for (let i = 0; i < 3; i++) for (let n = 0; n < 20; n++) pids.add((await fetchFrom(port, '/pid', { agent })).text);
    expect(pids.size).to.equal(1);
  });

  it('a module that throws rejects with what it throws', async () => {
    expect(String(await rejectionAs(serve('fails-to-load', { processes: 2 }), RangeError))).to.contain('apple');
  });

  it('a default export that is no application rejects with a TypeError that names the module', async () => {
    expect(String(await rejectionAs(serve('no-app'), TypeError))).to.match(/no-app\.js .*must be a request listener/);
  });

  it('a module that serves itself rejects with an error that says so, and starts no further processes', async () => {
    const error = await rejectionAs(serve('serves-itself'), Error);
    expect(String(error)).to.match(/serveHttp was called for .*serves-itself\.js while a process loads that/);
  });

  it('a module that is not there rejects', async () => {
    expect(String(await rejectionOf(serve('missing')))).to.contain('missing.js');
  });

  it('a port in use rejects with EADDRINUSE', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await settled(once(other, 'listening'));
    const { port } = other.address() as AddressInfo;
    expect(await rejectionOf(serve('listener', { port }))).to.include({ code: 'EADDRINUSE', port });
    other.close();
  });

  it('nonsense options are refused by name', async () => {
    for (const [options, errorClass, text] of [
      [{ port: -1 }, RangeError, /port/],
      [{ port: 70_000 }, RangeError, /port/],
      [{ port: '80' }, TypeError, /port/],
      [{ processes: 0 }, RangeError, /processes/],
      [{ processes: 1.5 }, RangeError, /processes/],
      [{ concurrentTasksPerWorker: 0 }, RangeError, /concurrentTasksPerWorker/],
      [{ maxPending: -1 }, RangeError, /maxPending/],
      [{ headersTimeout: NaN }, RangeError, /headersTimeout/],
      [
        { headersTimeout: 500, requestTimeout: 400 },
        RangeError,
        /'headersTimeout' .* 'requestTimeout', which is 400 ms/,
      ],
      [{ host: 5 }, TypeError, /'host'/],
      [{ signals: 'no' }, TypeError, /'signals'/],
      [{ reusePort: 'yes' }, TypeError, /reusePort/],
      [{ onWorkerError: 'apple' }, TypeError, /onWorkerError/],
    ] as const) {
      expect(String(await rejectionAs(serve('listener', options as never), errorClass as never))).to.match(text);
    }
    expect(String(await rejectionAs(serveHttp(1 as never, { port: 0 }), TypeError))).to.match(/URL/);
  });

  it('with `reusePort` each process listens by itself, where Node can; elsewhere it is refused by name', async function () {
    const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
    if (major < 23 || (major === 23 && minor < 1)) {
      const error = await rejectionAs(serve('listener', { reusePort: true }), RangeError);
      expect(String(error)).to.contain("'reusePort' needs Node 23.1");
      this.skip();
    }
    const server = await serve('listener', { reusePort: true, processes: 2 });
    const { port, address } = server.address();
    expect([address, port > 0]).to.deep.equal(['127.0.0.1', true]);
    const pids = new Set<number>();
    let asked = 0;
    for (; pids.size < 2 && asked < 1000; asked++) pids.add(await pidOf(port));
    expect(pids.size, 'processes that answered').to.equal(2);
    await eventually(() => server.stats().completed === asked, 'the counts of both');
    await settled(server.reload());
    expect(pids.has(await pidOf(port)), 'one of the old processes').to.equal(false);
    await settled(server.close());
    expect(String(await rejectionOf(fetchFrom(port, '/pid')))).to.match(/ECONNREFUSED|ECONNRESET/);
  });

  it('several processes answer on one address, and stats() adds up over them', async () => {
    const server = await serve('listener', { processes: 2 });
    const { port } = server.address();
    const pids = new Set<number>();
    let asked = 0;
    const gates = [makeGate(), makeGate()];
    // One process is blocked, so that the other must answer.
    pids.add(await pidOf(port));
    asked++;
    const blocked = fetchFrom(port, at('/block', gates[0]!));
    asked++;
    await gates[0]!.arrived();
    pids.add(await pidOf(port));
    asked++;
    gates[0]!.open();
    expect((await blocked).text).to.equal('blocked');
    await eventually(() => server.stats().completed === asked, 'the counts of both');
    expect(server.stats()).to.deep.equal({
      accepted: asked,
      active: 0,
      waiting: 0,
      refused: 0,
      completed: asked,
      failed: 0,
    });
  });

  it('no more requests are handled at once than configured, the rest wait, then get 503 with Retry-After', async () => {
    const server = await serve('listener', { concurrentTasksPerWorker: 2, maxPending: 1 });
    const { port } = server.address();
    const gate = makeGate();
    const answers = Array.from({ length: 2 }, () => fetchFrom(port, at('/wait', gate)));
    await gate.arrived(2);
    answers.push(fetchFrom(port, at('/wait', gate)));
    await eventually(() => server.stats().waiting === 1, 'the one that waits');
    const refused = await fetchFrom(port, '/hello/apple', { method: 'POST', body: 'banana' });
    expect(refused.status).to.equal(503);
    expect(refused.headers['retry-after']).to.match(/^\d+$/);
    expect(gate.arrivals).to.equal(2);
    gate.open();
    for (const answer of await Promise.all(answers)) expect(answer).to.include({ status: 200, text: 'waited' });
    await eventually(() => server.stats().active === 0, 'the end of all');
    expect(server.stats()).to.include({ accepted: 4, completed: 3, refused: 1, waiting: 0 });
  });

  it('a client that leaves while it waits in line leaves its place to others', async () => {
    const server = await serve('listener', { concurrentTasksPerWorker: 1, maxPending: 1 });
    const { port } = server.address();
    const gate = makeGate();
    const first = fetchFrom(port, at('/wait', gate));
    await gate.arrived();
    const controller = new AbortController();
    const leaving = rejectionOf(fetchFrom(port, '/hello/apple?n=1', { signal: controller.signal }));
    await eventually(() => server.stats().waiting === 1, 'the one that waits');
    controller.abort();
    await leaving;
    await eventually(() => server.stats().waiting === 0, 'the place in line');
    const last = fetchFrom(port, '/hello/banana?n=2');
    await eventually(() => server.stats().waiting === 1, 'the next one that waits');
    gate.open();
    expect((await first).text).to.equal('waited');
    expect((await last).text).to.equal('hello banana 2');
    await eventually(() => server.stats().active === 0, 'the end of all');
    expect(server.stats()).to.include({ accepted: 3, completed: 2, failed: 1, refused: 0 });
  });

  it('a client that leaves gives back the places of all the requests that it had sent ahead', async () => {
    const server = await serve('listener', { concurrentTasksPerWorker: 4 });
    const { port } = server.address();
    const gate = makeGate();
    const client = await dial(port);
    for (const path of [at('/wait', gate), '/pid', '/pid', '/pid'])
      client.write(`GET ${path} HTTP/1.1\r\nHost: apple\r\n\r\n`);
    await gate.arrived();
    await eventually(() => server.stats().active === 4, 'the requests');
    client.destroy();
    await eventually(() => server.stats().active === 0, 'the end of the requests');
    expect(await fetchFrom(port, '/pid')).to.include({ status: 200 });
  });

  it('a process that dies is replaced, although `onWorkerError` throws', async () => {
    const original = console.error;
    console.error = () => undefined;
    try {
      const server = await serve('listener', {
        onWorkerError: () => {
          throw new Error('apple');
        },
      });
      const { port } = server.address();
      const pid = await pidOf(port);
      await rejectionOf(fetchFrom(port, '/die'));
      await eventually(() => !lives(pid), 'the end of the process');
      expect(await pidOf(port)).not.to.equal(pid);
    } finally {
      console.error = original;
    }
  });

  it('a process that dies soon after it listens is replaced at once, and the next such ones after longer and longer waits', async () => {
    const starts: number[] = [];
    const deaths: number[] = [];
    const server = await serve('listener', { onWorkerError: () => deaths.push(performance.now()) });
    const { port } = server.address();
    const note = () => starts.push(performance.now());
    subscribe('child_process', note);
    try {
      for (let i = 0; i < 4; i++) await rejectionOf(fetchFrom(port, '/die'));
      // The connection waits for a process.
      expect(await fetchFrom(port, '/pid')).to.include({ status: 200 });
    } finally {
      unsubscribe('child_process', note);
    }
    const waits = starts.map((start, i) => start - (deaths[i] as number));
    expect(waits).to.have.length(4);
    // Timers may come a little too soon.
    for (const [i, least] of [0, 100, 200, 400].entries()) expect(waits[i]).to.be.at.least(least - 2);
  });

  it('a process that dies while it drains is not replaced once more', async () => {
    const server = await serve();
    const { port } = server.address();
    const gate = makeGate();
    const pid = await pidOf(port);
    const waiting = rejectionOf(fetchFrom(port, at('/wait', gate)));
    await gate.arrived();
    let started = 0;
    const note = () => started++;
    subscribe('child_process', note);
    try {
      const reloading = server.reload();
      await eventually(() => started === 1, 'the successor');
      let answering = pid;
      while (answering === pid) answering = await pidOf(port);
      // It drains, and has one request in hand.
      await turns(10);
      process.kill(pid, 'SIGKILL');
      await waiting;
      await settled(reloading, 'reload()');
      await turns(50);
      expect(started).to.equal(1);
    } finally {
      unsubscribe('child_process', note);
    }
  });

  it('close() does not wait for an application that is not loaded yet', async () => {
    const gate = makeGate();
    const app = appUrl('loads-once');
    app.searchParams.set('gate', String(gate.token));
    const server = await serve(app);
    const reloading = rejectionOf(server.reload());
    await gate.arrived();
    await settled(server.close(), 'close()');
    expect(String(await reloading)).to.match(/closed before its process had loaded/);
  });

  it('a process that dies is replaced, and no other connection is lost', async () => {
    const heard: unknown[] = [];
    const server = await serve('listener', { processes: 2, onWorkerError: (error) => heard.push(error) });
    const { port } = server.address();
    const gate = makeGate();
    // Blocked, so that the other process takes the request that kills it.
    const blocked = fetchFrom(port, at('/block', gate));
    await gate.arrived();
    const pid = await pidOf(port);
    await rejectionOf(fetchFrom(port, '/die'));
    await eventually(() => heard.length === 1, 'the death');
    expect(String(heard[0])).to.equal('WorkerDiedError: A process of the HTTP server died with exit code 7');
    const next = await pidOf(port);
    expect(next).to.not.equal(pid);
    gate.open();
    expect((await blocked).text).to.equal('blocked');
  });

  for (const keepAlive of [true, false]) {
    it(`reload() replaces the processes under load and fails no request: ${keepAlive ? 'connections kept' : 'a connection each'}`, async () => {
      const server = await serve('listener', { processes: 2 });
      const { port } = server.address();
      const agent = new Agent({ keepAlive, maxSockets: 8 });
      const before = new Set<string>();
      const after = new Set<string>();
      let seen = before;
      let loading = true;
      let asked = 0;
      const load = Array.from({ length: 8 }, async () => {
        while (loading) {
          const { status, text } = await fetchFrom(port, '/pid', { agent });
          if (status !== 200) throw new Error(`${String(status)} ${text}`);
          asked++;
          seen.add(text);
        }
      });
      try {
        await eventually(() => asked > 50, 'the load');
        for (let i = 0; i < 2; i++) await settled(server.reload(), 'reload()');
        seen = after;
        const mark = asked;
        await eventually(() => asked > mark + 50, 'the load after it');
      } finally {
        loading = false;
        await Promise.all(load);
        agent.destroy();
      }
      // Requests that were under way when it changed aside, the old processes are gone.
      await eventually(() => [...before].every((pid) => !lives(Number(pid)) || after.has(pid)), 'the end of the old');
      await eventually(() => server.stats().completed === asked, 'the counts of all');
      expect(server.stats()).to.include({ accepted: asked, failed: 0, refused: 0 });
    });
  }

  it('close() lets requests finish and stops accepting', async () => {
    const server = await serve();
    const { port } = server.address();
    const gate = makeGate();
    const waiting = fetchFrom(port, at('/wait', gate));
    await gate.arrived();
    const closing = server.close();
    await eventually(() => server.stats().active === 1, 'the request');
    gate.open();
    expect((await waiting).text).to.equal('waited');
    await settled(closing, 'close()');
    expect(await rejectionOf(fetchFrom(port, '/pid'))).to.include({ code: 'ECONNREFUSED' });
    expect(server.stats()).to.include({ completed: 1, active: 0 });
  });

  it('close() and reload() do not wait for a client that has said nothing', async () => {
    // So long a process that was replaced keeps connections for clients that may come back.
    const server = await serve('listener', { keepAliveTimeout: 100 });
    const { port } = server.address();
    const silent = [await dial(port), await dial(port)];
    await fetchFrom(port, '/pid');
    await settled(server.reload());
    await closed(silent[0]!);
    silent.push(await dial(port));
    await fetchFrom(port, '/pid');
    await settled(server.close());
    await Promise.all(silent.map(closed));
  });

  it('a host is an address or a name', async () => {
    expect((await serve('listener', { host: 'localhost' })).address().address).to.equal('127.0.0.1');
    const unknown = await rejectionOf(serve('listener', { host: 'no-such-host.invalid' }));
    expect(String(unknown)).to.contain('no-such-host.invalid');
  });

  it('close({ grace }) ends what does not finish', async () => {
    const server = await serve();
    const gate = makeGate();
    const waiting = rejectionOf(fetchFrom(server.address().port, at('/wait', gate)));
    await gate.arrived();
    await settled(server.close({ grace: 10 }), 'close()');
    expect(await waiting).to.include({ code: 'ECONNRESET' });
  });

  it('`signal` closes the server and ends its requests; one that is aborted already rejects with its reason', async () => {
    const controller = new AbortController();
    const server = await serve('listener', { signal: controller.signal });
    const { port } = server.address();
    const gate = makeGate();
    const failing = rejectionOf(fetchFrom(port, at('/block', gate)));
    await gate.arrived();
    controller.abort();
    await failing;
    await settled(server.close(), 'the end of the server');
    const reason = new Error('apple');
    expect(await rejectionOf(serve('listener', { signal: AbortSignal.abort(reason) }))).to.equal(reason);
  });

  it('`signal` ends a start that never ends', async () => {
    using mood = new Mood('hangs');
    const controller = new AbortController();
    const starting = rejectionOf(serve(mood.app, { signal: controller.signal }));
    await mood.taken(1);
    const reason = new Error('apple');
    controller.abort(reason);
    expect(await starting).to.equal(reason);
  });

  it('close() during reload() ends both', async () => {
    const server = await serve('listener', { processes: 2 });
    const reloading = server.reload();
    await settled(server.close(), 'close()');
    await settled(reloading, 'reload()');
  });

  it('a client that is slow with its headers is cut off after `headersTimeout`', async () => {
    const server = await serve('listener', { headersTimeout: 200 });
    const client = await dial(server.address().port);
    const answer = readToEnd(client);
    client.write('GET /pid HTTP/1.1\r\nHost: apple\r\nX-Slow: ');
    expect((await answer).toString()).to.match(/^HTTP\/1\.1 408 /);
    await closed(client);
  });

  it('a client that is slow with its body is cut off after `requestTimeout`', async () => {
    const server = await serve('listener', { headersTimeout: 200, requestTimeout: 300 });
    const client = await dial(server.address().port);
    const answer = readToEnd(client);
    client.write('POST /echo HTTP/1.1\r\nHost: apple\r\nContent-Length: 1000\r\n\r\nbanana');
    await answer;
    await closed(client);
    await eventually(() => server.stats().active === 0, 'the end of its request');
  });

  it('a limit is any number of ms, or none', async () => {
    for (const options of [
      { requestTimeout: 30_000 },
      { requestTimeout: 0 },
      { headersTimeout: 0.5, requestTimeout: 1e12, keepAliveTimeout: 1.5 },
      { headersTimeout: Infinity, requestTimeout: Infinity, keepAliveTimeout: Infinity },
    ]) {
      const { port } = (await serve('listener', options)).address();
      expect(await fetchFrom(port, '/pid')).to.include({ status: 200 });
    }
  });

  it('headers above `maxHeaderSize` are answered with 431', async () => {
    const server = await serve('listener', { maxHeaderSize: 1000 });
    const client = await dial(server.address().port);
    const answer = readToEnd(client);
    client.write(`GET /pid HTTP/1.1\r\nHost: apple\r\nX-Long: ${'x'.repeat(2000)}\r\n\r\n`);
    expect((await answer).toString()).to.match(/^HTTP\/1\.1 431 /);
  });
});

describe('serveHttp: signals and orphans', () => {
  const main = new URL('../fixtures/http-main.js', import.meta.url);
  let script: Script | undefined;
  let gate: Gate | undefined;

  async function start(): Promise<number> {
    script = new Script(main, [appUrl('listener').href, JSON.stringify({ processes: 1 })]);
    const [port] = await script.printed(/port (\d+)\n/);
    return Number(port);
  }

  afterEach(async () => {
    gate?.[Symbol.dispose]();
    gate = undefined;
    await script?.kill();
  });

  it('SIGTERM drains: requests finish, then the process ends', async () => {
    const port = await start();
    gate = new Gate(false);
    const waiting = fetchFrom(port, at('/wait', gate));
    await gate.arrived();
    script!.child.kill('SIGTERM');
    await settled(refused(port), 'the end of accepting');
    // As from a terminal that goes, and from a runner that passes on what the whole group has got.
    script!.child.kill('SIGHUP');
    script!.child.kill('SIGTERM');
    await turns(50);
    gate.open();
    expect((await waiting).text).to.equal('waited');
    expect(await settled(script!.ended)).to.deep.equal({ code: 0, signal: null });
  });

  it('SIGHUP replaces the processes', async () => {
    const port = await start();
    const { text } = await fetchFrom(port, '/pid');
    script!.child.kill('SIGHUP');
    await eventually(() => !lives(Number(text)), 'the end of the old process');
    expect((await fetchFrom(port, '/pid')).text).to.not.equal(text);
  });

  it('a server that is killed leaves no orphan, although a request blocks its process', async () => {
    const port = await start();
    const { text } = await fetchFrom(port, '/pid');
    gate = new Gate(false);
    const blocked = rejectionOf(fetchFrom(port, at('/block', gate)));
    await gate.arrived();
    await script!.kill('SIGKILL');
    await eventually(() => !lives(Number(text)), 'the end of the orphan');
    await blocked;
    await settled(refused(port), 'the end of listening');
  });
});

/** Waits until nobody listens any more; before that, connections may still be made, and reset. */
async function refused(port: number): Promise<void> {
  for (;;) {
    const error = await fetchFrom(port, '/pid').then(
      () => undefined,
      (reason: unknown) => reason,
    );
    if ((error as { code?: string } | undefined)?.code === 'ECONNREFUSED') return;
  }
}
