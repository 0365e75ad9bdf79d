import { once } from 'node:events';
import type { Socket } from 'node:net';
import { expect } from 'chai';
import { tasksFrom, TimeoutError, WorkerDiedError } from 'concurrent-futures';
import {
  type PreforkedServer,
  type PreforkedSocketOptions,
  serveSocketsPreforked,
  type SocketHandler,
} from 'concurrent-futures/server';
import { Gate, passGateAsync } from '../support/gate.js';
import { lives } from '../support/scripts.js';
import { ask, closed, dial, readToEnd } from '../support/tcp.js';
import { eventually, instance, rejectionAs, rejectionOf, settled, turns } from '../support/watchdog.js';

const fixture = (name: string): URL => new URL(`../fixtures/${name}.js`, import.meta.url);

/** Answers with the process's id; 'die' ends it. */
const tellProcess = async (socket: Socket): Promise<void> => {
  const first = await new Promise((resolve) => socket.once('data', resolve));
  if (String(first) === 'die') process.exit(3);
  socket.end(String(process.pid));
};

/** What only servers do whose processes accept by themselves; the rest is in sockets.spec.ts. */
describe('serveSocketsPreforked: its processes', () => {
  const servers: PreforkedServer[] = [];
  const gates: Gate[] = [];

  async function serve(
    handler: SocketHandler,
    options: Partial<PreforkedSocketOptions> = {},
  ): Promise<PreforkedServer> {
    const serving = serveSocketsPreforked(handler, {
      port: 0,
      host: '127.0.0.1',
      processes: 1,
      signals: false,
      ...options,
    });
    const server = await settled(serving, 'the start of the server');
    servers.push(server);
    return server;
  }

  /** A gate, a handler that waits there and then says so, and the options by which its processes know the gate. */
  function makeWaiting() {
    const gate = new Gate(false);
    gates.push(gate);
    const handler = (0, eval)(`async (socket) => {
      const pass = ${passGateAsync.toString()};
      await pass(globalThis.token);
      socket.end('waited');
    }`) as SocketHandler;
    const options = {
      initializer: (token: unknown) => {
        (globalThis as { token?: unknown }).token = token;
      },
      initargs: [gate.token],
    };
    return { gate, handler, options };
  }

  afterEach(async () => {
    for (const gate of gates) gate.open();
    const ends = Promise.all(servers.splice(0).map((server) => server.close({ grace: 0 })));
    await settled(ends, 'the end of the servers');
    for (const gate of gates.splice(0)) gate[Symbol.dispose]();
  });

  it('300 connections over 4 places: no more are served at once, the rest wait with the system, and all are served', async () => {
    const { gate, handler, options } = makeWaiting();
    const server = await serve(handler, { ...options, processes: 2, concurrentTasksPerWorker: 2 });
    const { port } = server.address();
    const answers = Array.from({ length: 300 }, () => ask(port, 'apple'));
    await gate.arrived(4);
    await eventually(() => server.stats().accepted === 4, 'the counts');
    // As often as it takes to hear of one that was accepted too much.
    for (let i = 0; i < 3; i++) await turns(20);
    expect(gate.arrivals).to.equal(4);
    expect(server.stats()).to.include({ accepted: 4, active: 4, waiting: 0 });
    gate.open();
    for (const answer of await settled(Promise.all(answers))) expect(answer.toString()).to.equal('waited');
    await eventually(() => server.stats().completed === 300, 'the end of all');
    expect(server.stats()).to.deep.equal({
      accepted: 300,
      active: 0,
      waiting: 0,
      refused: 0,
      completed: 300,
      failed: 0,
    });
  });

  it('a process whose places are all taken leaves what comes to the others, however long that lasts', async () => {
    const server = await serve(tellProcess, { processes: 2, concurrentTasksPerWorker: 2 });
    const { port } = server.address();
    const silent: Socket[] = [];
    // Three who say nothing take two places of one process, and one of the other.
    for (let i = 1; i <= 3; i++) {
      silent.push(await dial(port));
      await eventually(() => server.stats().active === i, 'one more that is served');
    }
    const pids = new Set<string>();
    for (let i = 0; i < 50; i++) pids.add((await ask(port, 'apple')).toString());
    expect(pids.size).to.equal(1);
    for (const socket of silent) socket.write('banana');
    await Promise.all(silent.map(closed));
    await eventually(() => server.stats().completed === 53, 'the end of all');
    // Both accept again.
    await eventually(
      () => pids.size === 2 || (void ask(port, 'cherry').then((pid) => pids.add(String(pid))), false),
      'both',
    );
  });

  it('a client that leaves while it waits for a place holds up nobody', async () => {
    const { gate, handler, options } = makeWaiting();
    const server = await serve(handler, { ...options, concurrentTasksPerWorker: 1 });
    const { port } = server.address();
    const first = ask(port, 'apple');
    await gate.arrived();
    (await dial(port)).resetAndDestroy();
    const last = ask(port, 'cherry');
    gate.open();
    expect((await first).toString()).to.equal('waited');
    expect((await last).toString()).to.equal('waited');
    await eventually(() => server.stats().active === 0, 'the end of all');
  });

  it('a process that dies is replaced, what it served has failed, and no other connection is lost', async () => {
    const heard: unknown[] = [];
    const chat = async (socket: Socket) => {
      for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
        if (String(chunk) === 'die') process.exit(3);
        socket.write(String(process.pid));
      }
    };
    const server = await serve(chat, { processes: 2, onWorkerError: (error) => heard.push(error) });
    const { port } = server.address();
    const pidOf = async (socket: Socket): Promise<string> => {
      socket.write('apple');
      return String((await settled(once(socket, 'data'), 'the answer'))[0]);
    };
    const bystander = await dial(port);
    const spared = await pidOf(bystander);
    let doomed = await dial(port);
    let completed = 0;
    for (; (await pidOf(doomed)) === spared; completed++) {
      doomed.end();
      doomed = await dial(port);
    }
    // Each of two processes tells of its own: what one had in hand before may still be in the sum.
    const isKnown = () => server.stats().active === 2 && server.stats().completed === completed;
    await eventually(isKnown, 'the news of both');
    doomed.write('die');
    await closed(doomed);
    await eventually(() => heard.length === 1, 'the death');
    expect(instance(heard[0], WorkerDiedError).exitCode).to.equal(3);
    expect(await pidOf(bystander)).to.equal(spared);
    expect(Number(await pidOf(await dial(port)))).to.be.above(0);
    await eventually(() => server.stats().failed === 1, 'the count of what it served');
  });

  it('reload() replaces the processes under load and cuts off no connection', async () => {
    const server = await serve(tellProcess, { processes: 2 });
    const { port } = server.address();
    const before = new Set<string>();
    const after = new Set<string>();
    let seen = before;
    let loading = true;
    let asked = 0;
    const load = Array.from({ length: 8 }, async () => {
      while (loading) {
        const pid = (await ask(port, 'apple')).toString();
        if (pid === '') throw new Error('a connection was cut off');
        seen.add(pid);
        asked++;
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
    }
    await eventually(() => [...before].every((pid) => !lives(Number(pid)) || after.has(pid)), 'the end of the old');
    await eventually(() => server.stats().completed === asked, 'the counts of all');
    expect(server.stats()).to.include({ accepted: asked, failed: 0 });
  });

  it('reload() does not wait in line behind a connection that stays, and close() lets it finish', async () => {
    const server = await serve(tellProcess);
    const { port } = server.address();
    const staying = await dial(port);
    await eventually(() => server.stats().active === 1, 'the one that stays');
    const reloading = server.reload();
    const first = (await ask(port, 'apple')).toString();
    await eventually(() => first !== '', 'an answer');
    const answer = readToEnd(staying);
    staying.write('banana');
    expect(Number(await answer)).to.be.above(0);
    await settled(reloading, 'reload()');
    expect(server.stats()).to.include({ completed: 2, failed: 0 });
  });

  it('close() stops accepting and lets connections finish', async () => {
    const { gate, handler, options } = makeWaiting();
    const server = await serve(handler, { ...options, concurrentTasksPerWorker: 1 });
    const { port } = server.address();
    const served = ask(port, 'apple');
    await gate.arrived();
    const waiting = await dial(port);
    let over = false;
    const closing = server.close().then(() => (over = true));
    await closed(waiting);
    expect(await rejectionOf(dial(port))).to.include({ code: 'ECONNREFUSED' });
    expect(over).to.equal(false);
    gate.open();
    expect((await served).toString()).to.equal('waited');
    await settled(closing, 'close()');
    expect(server.stats()).to.include({ active: 0, completed: 1, failed: 0 });
    await settled(server.close(), 'a second close()');
  });

  it('`signal` closes the server and ends its connections', async () => {
    const controller = new AbortController();
    const server = await serve(tellProcess, { signal: controller.signal });
    const { port } = server.address();
    const served = await dial(port);
    await eventually(() => server.stats().active === 1, 'the connection');
    controller.abort();
    await closed(served);
    await settled(server.close(), 'the end of the server');
    expect(await rejectionOf(dial(port))).to.include({ code: 'ECONNREFUSED' });
  });

  it('a handler knows its connection and its process, and `timeout` aborts its signal', async () => {
    const { tellTask } = tasksFrom<typeof import('../fixtures/connections.js')>(fixture('connections'));
    const heard: unknown[] = [];
    const server = await serve(tellTask, { timeout: 300, onError: (error) => heard.push(error) });
    const { port } = server.address();
    const first = JSON.parse(String(await ask(port, 'apple'))) as Record<string, unknown>;
    expect(first).to.deep.equal({ id: 1, worker: first['worker'], attempt: 1, aborted: 'nothing' });
    expect(first['worker']).to.match(/^socket-server-0_0$/);
    await closed(await dial(port));
    await eventually(() => heard.length === 1, 'the error');
    expect(instance(heard[0], TimeoutError).message).to.equal(
      'tellTask ran longer than its timeout of 300 ms, and its connection was closed',
    );
    expect(JSON.parse(String(await ask(port, 'banana')))).to.include({ id: 3, aborted: 'TimeoutError' });
  });

  it('what a handler that was sent by its source cannot see is explained, by a stack without the frames of this package', async () => {
    const outside = 'apple';
    const heard: unknown[] = [];
    const server = await serve((socket) => socket.end(outside), { onError: (error) => heard.push(error) });
    await closed(await dial(server.address().port));
    await eventually(() => heard.length === 1, 'the error');
    const error = instance(heard[0], ReferenceError);
    expect(error.message).to.match(/outside is not defined\. The function .* was sent by its source/);
    expect(error.stack).to.not.contain('socket-guest');
  });

  it('a handler whose module does not load, or ends its process, rejects', async () => {
    const failing = tasksFrom<{ handle: SocketHandler }>(fixture('fails-to-load'));
    expect(String(await rejectionOf(serve(failing.handle)))).to.match(/Cannot load the module .*cannot be evaluated/);
    const ending = tasksFrom<{ handle: SocketHandler }>(fixture('exits-on-load'));
    expect((await rejectionAs(serve(ending.handle), WorkerDiedError)).exitCode).to.equal(3);
    const missing = tasksFrom<{ handle: SocketHandler }>(fixture('connections'));
    expect(String(await rejectionAs(serve(missing.handle), TypeError))).to.match(/no function 'handle' in the module/);
  });

  it('an initializer that throws rejects', async () => {
    const initializer = () => {
      throw new RangeError('apple');
    };
    const error = (await rejectionOf(serve(tellProcess, { initializer }))) as Error;
    expect(String(error.cause)).to.equal('RangeError: apple');
  });

  it('nonsense is refused by name', async () => {
    for (const [options, errorClass, text] of [
      [{ processes: 0 }, RangeError, /processes/],
      [{ concurrentTasksPerWorker: 0 }, RangeError, /concurrentTasksPerWorker/],
      [{ backlog: -1 }, RangeError, /backlog/],
      [{ timeout: -1 }, RangeError, /timeout/],
      [{ signal: {} }, TypeError, /signal/],
      [{ onError: 'apple' }, TypeError, /onError/],
      [{ onWorkerError: 'apple' }, TypeError, /onWorkerError/],
      [{ initializer: 'apple' }, TypeError, /initializer/],
      [{ initargs: 'apple' }, TypeError, /initargs/],
      [{ port: 70_000 }, RangeError, /port/],
      [{ port: undefined }, TypeError, /port/],
    ] as const) {
      const error = await rejectionAs(serve(tellProcess, options as never), errorClass as never);
      expect(String(error)).to.match(text);
    }
    for (const nothing of [undefined, null, 'apple', {}]) {
      expect(String(await rejectionAs(serve(nothing as never), TypeError))).to.match(/handler/);
    }
    const { handle } = tasksFrom<{ handle: SocketHandler }>();
    expect(String(await rejectionAs(serve(handle), TypeError))).to.match(
      /'handle' is a function of a worker of your own/,
    );
    const server = await serve(tellProcess);
    expect(() => server.close({ grace: NaN })).to.throw(RangeError, /grace/);
  });

  it('with `reusePort` each process listens by itself, where Node can', async function () {
    const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
    if (major < 23 || (major === 23 && minor < 1)) return void this.skip();
    const server = await serve(tellProcess, { processes: 2, concurrentTasksPerWorker: 1, reusePort: true });
    const { port } = server.address();
    for (let i = 0; i < 20; i++) expect(Number(await ask(port, 'apple'))).to.be.above(0);
    await eventually(() => server.stats().completed === 20, 'the counts');
  });
});
