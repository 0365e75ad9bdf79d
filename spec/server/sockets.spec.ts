import { spawnSync } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { randomBytes } from 'node:crypto';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import { MessageChannel, Worker } from 'node:worker_threads';
import { expect } from 'chai';
import {
  ExecutorShutdownError,
  type Future,
  tasksFrom,
  ThreadPoolExecutor,
  TimeoutError,
  WorkerDiedError,
} from 'concurrent-futures';
import { ProcessPoolExecutor } from 'concurrent-futures/process';
import {
  type PooledServer,
  serveSockets,
  serveSocketsPreforked,
  type SocketHandler,
  type SocketServerOptions,
} from 'concurrent-futures/server';
import { Gate, type GateToken, passGate, passGateAsync, type TallyToken } from '../support/gate.js';
import { type PoolOptions, useBench } from '../support/pool-under-test.js';
import * as processes from '../support/process-pool.js';
import { ask, closed, dial, readToEnd } from '../support/tcp.js';
import * as threads from '../support/thread-pool.js';
import { eventually, instance, rejectionAs, rejectionOf, settled } from '../support/watchdog.js';

const echo = async (socket: Socket): Promise<void> => {
  const events = (await import('node:events')).default;
  for await (const chunk of socket) if (!socket.write(chunk as Uint8Array)) await events.once(socket, 'drain');
};

/** What options of a pool are for a preforked server. */
const inProcesses = ({ maxWorkers, concurrentTasksPerWorker = 1, ...others }: PoolOptions) => ({
  processes: maxWorkers,
  concurrentTasksPerWorker,
  ...others,
});

const LOCAL = { port: 0, host: '127.0.0.1' };

for (const [name, { makeExecutor, capabilities }, isPreforked] of [
  ['serveSockets: ThreadPoolExecutor', threads, false],
  ['serveSockets: ProcessPoolExecutor', processes, false],
  ['serveSocketsPreforked', processes, true],
] as const) {
  describe(name, () => {
    const servers: PooledServer[] = [];

    // Before the pools are taken down: they wait for the tasks of the servers.
    afterEach(async () => {
      await settled(
        Promise.all(servers.splice(0).map((server) => server.close({ grace: 0 }))),
        'the end of the servers',
      );
    });

    const bench = useBench(makeExecutor, capabilities);

    /** A server whose handler may be given more than the socket: the token of a gate or a tally, by the environment of the task. */
    async function serve(
      handler: SocketHandler,
      { pool = { maxWorkers: 2 }, ...options }: Partial<SocketServerOptions> & { pool?: PoolOptions } = {},
    ): Promise<PooledServer> {
      const server = isPreforked
        ? await serveSocketsPreforked(handler, {
            ...LOCAL,
            signals: false,
            ...inProcesses(pool),
            ...(options as object),
          })
        : await serveSockets(bench.pool(pool), handler, { ...LOCAL, ...options });
      servers.push(server);
      return server;
    }

    /** Of things that only servers on a pool do. */
    const itOnPools = isPreforked ? () => undefined : it;

    /** A pool whose handlers find a token in `globalThis.token`. */
    const withToken = (options: PoolOptions, token: GateToken | TallyToken): PoolOptions => ({
      ...options,
      initializer: (given: unknown) => {
        (globalThis as { token?: unknown }).token = given;
      },
      initargs: [token],
    });

    /** Waits at the gate of its pool, then says so. The functions of a gate can be sent, but not referred to. */
    const makeWaiting = (): SocketHandler =>
      (0, eval)(`async (socket) => {
        const pass = ${passGateAsync.toString()};
        await pass(globalThis.token);
        socket.end('waited');
      }`) as SocketHandler;

    it('a connection is a task with a working socket, and the address of the peer', async () => {
      const server = await serve(async (socket, peer) => {
        const chunks: Uint8Array[] = [];
        for await (const chunk of socket.iterator({ destroyOnReturn: false })) chunks.push(chunk as Uint8Array);
        socket.end(JSON.stringify([Buffer.concat(chunks).toString(), peer, socket.remotePort, socket.remoteAddress]));
      });
      const client = await dial(server.address().port);
      const answer = readToEnd(client);
      client.end('apple');
      const { localPort: port } = client;
      expect(JSON.parse((await answer).toString())).to.deep.equal([
        'apple',
        { address: '127.0.0.1', port, family: 'IPv4' },
        port,
        '127.0.0.1',
      ]);
    });

    it('what a handler returns is wanted by nobody: it may be the socket, or what cannot be cloned', async () => {
      const handlers = [
        (socket: Socket) => socket.end('apple'),
        (socket: Socket) => {
          socket.end('apple');
          return () => socket;
        },
      ];
      for (const handler of handlers) {
        const server = await serve(handler);
        expect(String(await readToEnd(await dial(server.address().port)))).to.equal('apple');
        await eventually(() => server.stats().completed === 1, 'the end of the task');
        expect(server.stats()).to.include({ active: 0, failed: 0 });
      }
    });

    it('the socket of a server that listens on every address knows which of them its client came to', async () => {
      const server = await serve((socket) => socket.end(JSON.stringify(socket.address())), { host: '0.0.0.0' });
      const { port } = server.address();
      const address = JSON.parse(String(await readToEnd(await dial(port)))) as unknown;
      expect(address).to.deep.equal({ address: '127.0.0.1', family: 'IPv4', port });
    });

    it('the socket knows its addresses, its state and its traffic', async () => {
      const server = await serve(async (socket) => {
        const opened = [socket.readyState, socket.connecting, socket.pending, socket.timeout];
        socket.setTimeout(60_000);
        for await (const chunk of socket.iterator({ destroyOnReturn: false })) socket.write(chunk as Uint8Array);
        const { bytesRead, bytesWritten, readyState, timeout } = socket;
        const chained = socket.ref() === socket && socket.unref() === socket && socket.setNoDelay(true) === socket;
        socket.end(JSON.stringify([opened, bytesRead, bytesWritten, readyState, timeout, socket.address(), chained]));
      });
      const { port } = server.address();
      const answer = (await ask(port, 'apple')).toString();
      expect(JSON.parse(answer.replace('apple', ''))).to.deep.equal([
        ['open', false, false, null],
        5,
        5,
        'writeOnly',
        60_000,
        { address: '127.0.0.1', family: 'IPv4', port },
        true,
      ]);
    });

    it('a socket that is written to is not idle, and one whose timeout is ended tells of none', async () => {
      const server = await serve(async (socket) => {
        let fired = 0;
        const onTimeout = () => fired++;
        socket.setTimeout(60_000, onTimeout).setTimeout(0, onTimeout);
        const kept = socket.listenerCount('timeout');
        socket.setTimeout(1500, onTimeout);
        for (let i = 0; i < 18; i++) {
          socket.write('.');
          await new Promise((resolve) => setTimeout(resolve, 100));
        }
        socket.end(JSON.stringify([kept, fired]));
      });
      const answer = (await ask(server.address().port, '')).toString();
      expect(answer).to.equal(`${'.'.repeat(18)}[0,0]`);
    });

    it('a socket that is destroyed tells of no timeout', async () => {
      const heard: unknown[] = [];
      const handler = async (socket: Socket) => {
        let told = false;
        socket.setTimeout(20, () => (told = true));
        socket.destroy();
        // Its timer would be first.
        await new Promise((resolve) => setTimeout(resolve, 40));
        if (told) throw new Error('a timeout of what is no more');
      };
      const server = await serve(handler, { onError: (error) => heard.push(error) });
      await closed(await dial(server.address().port));
      await eventually(() => server.stats().completed + server.stats().failed === 1, 'the end of the handler');
      expect(heard).to.deep.equal([]);
    });

    it('resetAndDestroy() resets the connection', async () => {
      const server = await serve((socket) => {
        socket.resetAndDestroy();
      });
      // The reset may come before the news that there is a connection.
      const client = connect(server.address().port, '127.0.0.1');
      expect((await settled(once(client, 'error'), 'the reset'))[0]).to.include({ code: 'ECONNRESET' });
    });

    it('address() tells where it listens, and stats() adds up', async () => {
      const server = await serve(echo);
      expect(server.address()).to.include({ address: '127.0.0.1', family: 'IPv4' });
      for (const text of ['apple', 'banana', 'cherry']) {
        expect((await ask(server.address().port, text)).toString()).to.equal(text);
      }
      await eventually(() => server.stats().completed === 3, 'three connections served');
      expect(server.stats()).to.deep.equal({
        accepted: 3,
        active: 0,
        waiting: 0,
        refused: 0,
        completed: 3,
        failed: 0,
      });
    });

    it('20 MB are echoed byte for byte', async () => {
      const server = await serve(echo);
      const bytes = randomBytes(20_000_000);
      const answer = await ask(server.address().port, bytes);
      expect(answer.length).to.equal(bytes.length);
      expect(answer.equals(bytes)).to.equal(true);
    });

    it('what a handler has written arrives, although it returns without waiting', async () => {
      const server = await serve((socket) => {
        socket.write(new Uint8Array(8_000_000).fill(7));
      });
      const answer = await ask(server.address().port, 'apple');
      expect(answer.length).to.equal(8_000_000);
      expect(answer.every((byte) => byte === 7)).to.equal(true);
    });

    it('the last words of twenty connections arrive, although what their clients sent was never read', async () => {
      const server = await serve((socket) => {
        socket.write(new Uint8Array(2_000_000).fill(7));
      });
      const answers = await Promise.all(Array.from({ length: 20 }, () => ask(server.address().port, 'apple')));
      expect(answers.map((answer) => answer.length)).to.deep.equal(answers.map(() => 2_000_000));
    });

    itOnPools('close() has seen the last words go: the pool may be shut down after it', async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      const server = await serveSockets(
        pool,
        (socket) => {
          socket.write(new Uint8Array(8_000_000).fill(7));
        },
        LOCAL,
      );
      const answer = ask(server.address().port, 'apple');
      await eventually(() => server.stats().accepted === 1, 'the connection');
      await server.close();
      await pool.shutdown();
      expect((await answer).length).to.equal(8_000_000);
    });

    it('the last words of a handler reach a client that sends and has not read yet, although the pool is shut down', async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      const handler = (socket: Socket) => {
        socket.end(new Uint8Array(1_000_000).fill(7));
      };
      const server = isPreforked ? await serve(handler) : await serveSockets(pool, handler, LOCAL);
      const client = await dial(server.address().port);
      client.pause();
      client.write(new Uint8Array(100_000));
      await eventually(() => server.stats().completed + server.stats().active === 1, 'the connection');
      const closing = server.close().then(() => pool.shutdown());
      // What a process that has exited is sent is answered with a reset.
      let over = false;
      const sending = closing.then(() => (over = true));
      for (let i = 0; i < 100 && !over; i++) {
        client.write('more');
        await new Promise((resolve) => setImmediate(resolve));
      }
      const answer = readToEnd(client);
      client.resume();
      expect((await answer).length).to.equal(1_000_000);
      client.end();
      await settled(sending, 'the end of the pool');
    });

    itOnPools('the last words of a handler reach their client although its worker ends with the task', async () => {
      const pool = bench.pool({ maxWorkers: 1, maxTasksPerWorker: 1 });
      const handler = (socket: Socket) => {
        socket.end(new Uint8Array(1_000_000).fill(7));
      };
      const server = await serveSockets(pool, handler, LOCAL);
      servers.push(server);
      for (let i = 1; i <= 2; i++) {
        const client = await dial(server.address().port);
        client.pause();
        client.write(new Uint8Array(100_000));
        await eventually(() => server.stats().completed === i, 'the end of the task');
        // The worker has been told to end by then.
        await settled(pool.submit(() => 1));
        client.write('more');
        const answer = readToEnd(client);
        client.resume();
        expect((await answer).length).to.equal(1_000_000);
        client.end();
      }
    });

    it('the short echo of the documentation loses nothing, although its loop destroys the socket', async () => {
      const server = await serve(async (socket) => {
        for await (const chunk of socket) socket.write(chunk as Uint8Array);
      });
      const bytes = randomBytes(5_000_000);
      const answer = await ask(server.address().port, bytes);
      expect(answer.length).to.equal(bytes.length);
      expect(answer.equals(bytes)).to.equal(true);
    });

    it('a client that ends its half still gets the answer', async () => {
      const server = await serve(async (socket) => {
        let bytes = 0;
        socket.on('data', (chunk: Uint8Array) => (bytes += chunk.length));
        await new Promise((resolve) => socket.once('end', resolve));
        socket.end(String(bytes));
      });
      expect((await ask(server.address().port, 'x'.repeat(100_000))).toString()).to.equal('100000');
    });

    itOnPools('300 connections over 4 slots: no more are served at once, and all are served', async () => {
      const gate = bench.gate();
      const server = await serve(makeWaiting(), {
        pool: withToken({ maxWorkers: 2, concurrentTasksPerWorker: 2 }, gate.token),
      });
      const { port } = server.address();
      const answers = Array.from({ length: 300 }, () => ask(port, 'apple'));
      await gate.arrived(4);
      await eventually(() => server.stats().accepted === 300, 'the arrival of all');
      expect(server.stats()).to.include({ active: 4, waiting: 296 });
      expect(gate.arrivals).to.equal(4);
      gate.open();
      for (const answer of await settled(Promise.all(answers))) expect(answer.toString()).to.equal('waited');
      await eventually(() => server.stats().completed === 300, 'the end of all');
      expect(server.stats()).to.include({ active: 0, waiting: 0, refused: 0, failed: 0 });
    });

    itOnPools('connections wait unread up to `maxPending`, further ones are refused', async () => {
      const gate = bench.gate();
      const server = await serve(makeWaiting(), { pool: withToken({ maxWorkers: 1 }, gate.token), maxPending: 2 });
      const { port } = server.address();
      const served = [ask(port, 'apple')];
      await gate.arrived();
      served.push(ask(port, 'banana'), ask(port, 'cherry'));
      await eventually(() => server.stats().waiting === 2, 'two that wait');
      await dial(port).then(closed, () => undefined);
      await eventually(() => server.stats().refused === 1, 'the one that is refused');
      expect(server.stats()).to.include({ accepted: 4, active: 1, waiting: 2, refused: 1 });
      gate.open();
      for (const answer of await Promise.all(served)) expect(answer.toString()).to.equal('waited');
    });

    itOnPools('connections wait in line while the queue of the pool is full of the tasks of others', async () => {
      const gate = bench.gate();
      const pool = bench.pool({ maxWorkers: 1, maxQueueSize: 1 });
      const errors: unknown[] = [];
      const options = { ...LOCAL, onError: (error: unknown) => errors.push(error) };
      const [first, second] = [await serveSockets(pool, echo, options), await serveSockets(pool, echo, options)];
      servers.push(first, second);
      const others = [pool.submit(passGate, gate.token), pool.submit(() => 1)];
      const answers = [first, second, first, second].map((server, i) => ask(server.address().port, String(i)));
      await eventually(() => first.stats().waiting + second.stats().waiting === 4, 'all in line');
      await gate.arrived();
      gate.open();
      expect((await Promise.all(answers)).map(String)).to.deep.equal(['0', '1', '2', '3']);
      await settled(Promise.all(others));
      await eventually(() => first.stats().completed + second.stats().completed === 4, 'the end of all');
      expect(errors).to.deep.equal([]);
    });

    itOnPools('a client that waits in line and leaves holds up nobody', async () => {
      const gate = bench.gate();
      const server = await serve(makeWaiting(), { pool: withToken({ maxWorkers: 1 }, gate.token) });
      const { port } = server.address();
      const first = ask(port, 'apple');
      await gate.arrived();
      const leaving = await dial(port);
      await eventually(() => server.stats().waiting === 1, 'one that waits');
      leaving.resetAndDestroy();
      const last = ask(port, 'cherry');
      await eventually(() => server.stats().waiting === 2, 'two that wait');
      gate.open();
      expect((await first).toString()).to.equal('waited');
      expect((await last).toString()).to.equal('waited');
      await eventually(() => server.stats().active === 0, 'the end of all');
    });

    itOnPools(
      'a handler is told the address of a client that reset its connection while it waited in line',
      async () => {
        const gate = bench.gate();
        const heard: string[] = [];
        const handler = (0, eval)(`async (socket, peer) => {
        await (${passGateAsync.toString()})(globalThis.token);
        throw new Error(peer.address + ':' + peer.port);
      }`) as SocketHandler;
        const server = await serve(handler, {
          pool: withToken({ maxWorkers: 1 }, gate.token),
          onError: (error, peer) => heard.push(`${(error as Error).message} ${peer}`),
        });
        const { port } = server.address();
        const first = await dial(port);
        await gate.arrived();
        const leaving = await dial(port);
        const ports = [first.localPort, leaving.localPort].map(String);
        await eventually(() => server.stats().waiting === 1, 'one that waits');
        leaving.resetAndDestroy();
        gate.open();
        await eventually(() => server.stats().active === 0, 'the end of all');
        expect(heard).to.deep.equal(ports.map((own) => `127.0.0.1:${own} 127.0.0.1:${own}`));
        first.destroy();
      },
    );

    it('a silent client holds one slot and harms no other', async () => {
      const server = await serve(echo, { pool: { maxWorkers: 2 } });
      const { port } = server.address();
      const silent = await dial(port);
      await eventually(() => server.stats().active === 1, 'the silent one');
      for (let i = 0; i < 20; i++)
        expect((await ask(port, `apple ${String(i)}`)).toString()).to.equal(`apple ${String(i)}`);
      await eventually(() => server.stats().completed === 20, 'the end of the others');
      expect(server.stats()).to.include({ active: 1 });
      silent.end();
      await closed(silent);
      await eventually(() => server.stats().completed === 21, 'the end of the silent one');
    });

    it('a client that never reads makes the handler wait, not the memory grow', async () => {
      const tally = bench.tally();
      const server = await serve(
        (0, eval)(`async (socket) => {
          if (socket.remotePort === undefined) return;
          const { once } = (await import('node:events')).default;
          const touch = ${(await import('../support/gate.js')).touch.toString()};
          const first = await new Promise((resolve) => socket.once('data', resolve));
          if (String(first) === 'echo') return void socket.end(first);
          const gone = once(socket, 'close');
          for (let i = 0; i < 1000 && !socket.destroyed; i++) {
            touch(globalThis.token);
            if (!socket.write(new Uint8Array(100_000))) await Promise.race([once(socket, 'drain'), gone]);
          }
        }`) as SocketHandler,
        { pool: withToken({ maxWorkers: 2 }, tally.token) },
      );
      const { port } = server.address();
      const deaf = await dial(port);
      deaf.pause();
      deaf.write('deaf');
      await eventually(() => tally.total > 2, 'the first words of the handler');
      for (let i = 0; i < 30; i++) expect((await ask(port, 'echo')).toString()).to.equal('echo');
      expect(tally.total).to.be.lessThan(300);
      deaf.resetAndDestroy();
      await eventually(() => server.stats().active === 0, 'the end of the handler');
    });

    it('a client that never reads the last words is cut off by `timeout`, with nothing left behind', async () => {
      const handler = (socket: Socket) => {
        socket.write(new Uint8Array(30_000_000));
      };
      const server = await serve(handler, { timeout: 200 });
      const deaf = await dial(server.address().port);
      deaf.pause();
      await eventually(() => server.stats().failed === 1, 'the end of the handler');
      await eventually(() => openSockets(deaf.localPort) === 0, 'the end of the connection here');
      deaf.destroy();
    });

    it('a client that resets its connection is an error for its handler only', async () => {
      const server = await serve(async (socket) => {
        socket.write('apple');
        await new Promise((resolve) => {
          socket.on('error', () => undefined);
          socket.once('close', resolve);
          socket.resume();
        });
      });
      const { port } = server.address();
      for (let i = 0; i < 3; i++) {
        const client = await dial(port);
        await settled(once(client, 'data'));
        client.resetAndDestroy();
      }
      await eventually(() => server.stats().completed === 3, 'the end of all');
      expect(server.stats()).to.include({ accepted: 3, active: 0, failed: 0 });
    });

    it('a client that resets its connection ends no worker, although the handler listens to no error', async () => {
      const server = await serve(
        async (socket) => {
          socket.write('apple');
          await new Promise((resolve) => {
            socket.once('close', resolve);
            socket.resume();
          });
          return process.pid;
        },
        { pool: { maxWorkers: 1, concurrentTasksPerWorker: 2 } },
      );
      const { port } = server.address();
      const bystander = await dial(port);
      await settled(once(bystander, 'data'));
      for (let i = 0; i < 3; i++) {
        const client = await dial(port);
        await settled(once(client, 'data'));
        client.resetAndDestroy();
        await eventually(() => server.stats().completed === i + 1, 'the end of its handler');
      }
      expect(server.stats()).to.include({ active: 1, failed: 0 });
      bystander.resetAndDestroy();
      await eventually(() => server.stats().completed === 4, 'the end of the bystander');
    });

    it('a handler that throws ends its connection, and `onError` hears of it', async () => {
      const heard: [unknown, string][] = [];
      const server = await serve(
        () => {
          throw new RangeError('apple');
        },
        { onError: (error, peer) => heard.push([error, peer]) },
      );
      const client = await dial(server.address().port);
      const { localPort } = client;
      await closed(client);
      await eventually(() => heard.length === 1, 'the error');
      expect(instance(heard[0]![0], RangeError).message).to.equal('apple');
      expect(heard[0]![1]).to.equal(`127.0.0.1:${String(localPort)}`);
      await eventually(() => server.stats().failed === 1, 'its count');
      expect(server.stats()).to.include({ failed: 1, completed: 0, active: 0 });
    });

    it('what a handler wrote before it threw, or rejected, reaches its client', async () => {
      const throwing = await serve((socket) => {
        socket.write('apple');
        throw new RangeError('banana');
      });
      expect((await ask(throwing.address().port, '')).toString()).to.equal('apple');
      // eslint-disable-next-line @typescript-eslint/require-await -- it is to reject
      const rejecting = await serve(async (socket) => {
        socket.write('cherry');
        throw new RangeError('banana');
      });
      expect((await ask(rejecting.address().port, '')).toString()).to.equal('cherry');
      await eventually(() => throwing.stats().failed + rejecting.stats().failed === 2, 'the errors');
    });

    itOnPools('a handler whose module does not load ends its connection', async () => {
      const failing = tasksFrom<{ handle: SocketHandler }>(new URL('../fixtures/fails-to-load.js', import.meta.url));
      const server = await serve(failing.handle);
      await closed(await dial(server.address().port));
      await eventually(() => server.stats().failed === 1, 'the error');
    });

    itOnPools(
      'a client that resets its connection before the module of the handler has loaded ends no worker, and holds no slot',
      async () => {
        using loading = new Gate(false);
        const url = new URL('../fixtures/gated-module.js', import.meta.url);
        url.searchParams.set('gate', String(loading.token));
        const { untilClosed } = tasksFrom<typeof import('../fixtures/gated-module.js')>(url);
        const pool = bench.pool({ maxWorkers: 1, concurrentTasksPerWorker: 4 });
        const errors: unknown[] = [];
        const onError = (error: unknown) => errors.push(error);
        const server = await serveSockets(pool, untilClosed, { ...LOCAL, onError });
        servers.push(server);
        const clients = [await dial(server.address().port), await dial(server.address().port)];
        await loading.arrived();
        await eventually(() => server.stats().active === 2, 'both connections');
        for (const client of clients) client.resetAndDestroy();
        // By then the event loop of the worker has turned often enough to hear of it.
        for (let i = 0; i < 20; i++) await settled(pool.submit(() => new Promise((resolve) => setImmediate(resolve))));
        loading.open();
        await eventually(() => server.stats().active === 0, 'the end of both');
        expect(errors).to.deep.equal([]);
        expect(server.stats()).to.include({ completed: 2, failed: 0 });
      },
    );

    itOnPools(
      'clients that end their half before the module of the handler has loaded get their answers, and the handler hears of it',
      async () => {
        using loading = new Gate(false);
        const url = new URL('../fixtures/gated-module.js', import.meta.url);
        url.searchParams.set('gate', String(loading.token));
        const { endAtOnce, endAfterTheEnd } = tasksFrom<typeof import('../fixtures/gated-module.js')>(url);
        const pool = bench.pool({ maxWorkers: 1, concurrentTasksPerWorker: 16 });
        const accepting = [endAtOnce, endAfterTheEnd].map((handler) => serveSockets(pool, handler, LOCAL));
        const opened = await settled(Promise.all(accepting));
        servers.push(...opened);
        const answers = opened.flatMap((server) =>
          ['', 'banana'].flatMap((text) => [ask(server.address().port, text), ask(server.address().port, text)]),
        );
        await loading.arrived();
        await eventually(() => opened.every((server) => server.stats().active === 4), 'the connections');
        // By then the event loop of the worker has turned often enough to hear of their ends.
        for (let i = 0; i < 20; i++) await settled(pool.submit(() => new Promise((resolve) => setImmediate(resolve))));
        loading.open();
        expect((await Promise.all(answers)).map(String)).to.deep.equal(answers.map(() => 'apple'));
        await eventually(() => opened.every((server) => server.stats().completed === 4), 'the ends of the handlers');
      },
    );

    it('an `onError` that throws takes no slot away', async () => {
      const server = await serve(
        async (socket) => {
          const first = await new Promise((resolve) => socket.once('data', resolve));
          if (String(first) === 'throw') throw new Error('apple');
          socket.end(String(first));
        },
        {
          pool: { maxWorkers: 1 },
          onError: () => {
            throw new Error('banana');
          },
        },
      );
      const { port } = server.address();
      const original = console.error;
      console.error = () => undefined;
      try {
        await ask(port, 'throw');
        await ask(port, 'throw');
        expect((await ask(port, 'cherry')).toString()).to.equal('cherry');
      } finally {
        console.error = original;
      }
      await eventually(() => server.stats().active === 0, 'the end of all');
    });

    it('the connection is closed when the handler returns', async () => {
      const server = await serve((socket) => {
        socket.write('apple');
      });
      const client = await dial(server.address().port);
      expect((await readToEnd(client)).toString()).to.equal('apple');
      client.end();
      await closed(client);
    });

    it('`timeout` closes the connection and stops the handler', async () => {
      const heard: unknown[] = [];
      const server = await serve(
        async (socket) => {
          await new Promise((resolve) => socket.once('apple', resolve));
        },
        { timeout: 50, onError: (error) => heard.push(error), pool: { maxWorkers: 1 } },
      );
      for (let i = 1; i <= 2; i++) {
        const client = await dial(server.address().port);
        await closed(client);
        await eventually(() => heard.length === i, 'the error');
      }
      for (const error of heard) instance(error, TimeoutError);
      await eventually(() => server.stats().failed === 2, 'the counts');
      expect(server.stats()).to.include({ failed: 2, active: 0 });
    });

    itOnPools('`signal` stops accepting and closes what is served and what waits', async () => {
      const controller = new AbortController();
      const gate = bench.gate();
      const server = await serve(makeWaiting(), {
        signal: controller.signal,
        pool: withToken({ maxWorkers: 1 }, gate.token),
      });
      const { port } = server.address();
      const served = await dial(port);
      await gate.arrived();
      const waiting = await dial(port);
      await eventually(() => server.stats().waiting === 1, 'the one that waits');
      controller.abort();
      await Promise.all([closed(served), closed(waiting)]);
      await settled(server.close(), 'the end of the server');
      expect(await rejectionOf(dial(port))).to.include({ code: 'ECONNREFUSED' });
    });

    it('a signal that is aborted already rejects with its reason', async () => {
      const reason = new Error('apple');
      expect(await rejectionOf(serve(echo, { signal: AbortSignal.abort(reason) }))).to.equal(reason);
    });

    itOnPools('close() stops accepting, sends away who waits, and lets connections finish', async () => {
      const gate = bench.gate();
      const server = await serve(makeWaiting(), { pool: withToken({ maxWorkers: 1 }, gate.token) });
      const { port } = server.address();
      const served = ask(port, 'apple');
      await gate.arrived();
      const waiting = await dial(port);
      await eventually(() => server.stats().waiting === 1, 'the one that waits');
      let over = false;
      const closing = server.close().then(() => (over = true));
      await closed(waiting);
      expect(await rejectionOf(dial(port))).to.include({ code: 'ECONNREFUSED' });
      expect(over).to.equal(false);
      gate.open();
      expect((await served).toString()).to.equal('waited');
      await settled(closing, 'close()');
      expect(server.stats()).to.include({ active: 0, waiting: 0, refused: 1, completed: 1 });
      await settled(server.close(), 'a second close()');
    });

    it('close({ grace }) ends what does not finish', async () => {
      const server = await serve(async (socket) => {
        socket.write('apple');
        await new Promise((resolve) => socket.once('banana', resolve));
      });
      const client = await dial(server.address().port);
      await settled(once(client, 'data'));
      await settled(server.close({ grace: 20 }), 'close()');
      await closed(client);
      expect(server.stats()).to.include({ active: 0 });
    });

    itOnPools('the pool stays open when the server closes', async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      const server = await serveSockets(pool, echo, LOCAL);
      expect((await ask(server.address().port, 'apple')).toString()).to.equal('apple');
      await settled(server[Symbol.asyncDispose](), 'the end of the server');
      expect(await settled(pool.submit((a: number, b: number) => a + b, 1, 2))).to.equal(3);
    });

    itOnPools('a worker that dies ends its connections only, and is replaced', async () => {
      const heard: unknown[] = [];
      const server = await serve(
        async (socket) => {
          const first = await new Promise((resolve) => socket.once('data', resolve));
          if (String(first) === 'die') process.exit(3);
          socket.end(String(first));
        },
        { onError: (error) => heard.push(error), pool: { maxWorkers: 2 } },
      );
      const { port } = server.address();
      const bystander = await dial(port);
      await eventually(() => server.stats().active === 1, 'the bystander');
      for (let i = 1; i <= 3; i++) {
        const client = await dial(port);
        client.write('die');
        await closed(client);
        await eventually(() => heard.length === i, 'the error');
      }
      for (const error of heard) expect(instance(error, WorkerDiedError).exitCode).to.equal(3);
      const answer = readToEnd(bystander);
      bystander.end('apple');
      expect((await answer).toString()).to.equal('apple');
      expect((await ask(port, 'banana')).toString()).to.equal('banana');
    });

    itOnPools('a pool that is shut down refuses connections, and close() still ends', async () => {
      const heard: unknown[] = [];
      const pool = bench.pool({ maxWorkers: 1 });
      const server = await serveSockets(pool, echo, { ...LOCAL, onError: (error) => heard.push(error) });
      servers.push(server);
      await settled(pool.shutdown(), 'shutdown()');
      await closed(await dial(server.address().port));
      expect(String(heard[0])).to.contain('ExecutorShutdownError');
      await settled(server.close(), 'close()');
    });

    it('a port in use rejects with EADDRINUSE', async () => {
      const other = createServer().listen(0, '127.0.0.1');
      await settled(once(other, 'listening'));
      const { port } = other.address() as AddressInfo;
      expect(await rejectionOf(serve(echo, { port }))).to.include({ code: 'EADDRINUSE', port });
      other.close();
    });

    itOnPools('nonsense options are refused by name', async () => {
      for (const [options, errorClass, text] of [
        [{ maxPending: -1 }, RangeError, /maxPending/],
        [{ maxPending: 1.5 }, RangeError, /maxPending/],
        [{ maxPending: '1' }, TypeError, /maxPending/],
        [{ timeout: -1 }, RangeError, /timeout/],
        [{ timeout: NaN }, RangeError, /timeout/],
        [{ signal: {} }, TypeError, /signal/],
        [{ onError: 'apple' }, TypeError, /onError/],
        [{ port: 70_000 }, RangeError, /port/],
      ] as const) {
        const error = await rejectionAs(serve(echo, options as never), errorClass as never);
        expect(String(error)).to.match(text);
      }
      for (const nobody of [undefined, null, {}, 'apple']) {
        expect(String(await rejectionAs(serveSockets(nobody as never, echo, LOCAL), TypeError))).to.match(/executor/);
      }
      const bound = bench.pool().with({ priority: 1 });
      expect(String(await rejectionAs(serveSockets(bound as never, echo, LOCAL), TypeError))).to.match(/with\(\)/);
      for (const nowhere of [undefined, {}, { host: '127.0.0.1' }]) {
        const serving = serveSockets(bench.pool(), echo, nowhere as never);
        expect(String(await rejectionAs(serving, TypeError))).to.match(/'port'/);
      }
      const shut = bench.pool();
      await settled(shut.shutdown());
      await rejectionAs(serveSockets(shut, echo, LOCAL), ExecutorShutdownError);
      for (const nothing of [undefined, null, 'apple', {}]) {
        const serving = serveSockets(bench.pool(), nothing as never, LOCAL);
        expect(String(await rejectionAs(serving, TypeError))).to.match(/handler|callable/i);
      }
      const server = await serve(echo);
      expect(() => server.close({ grace: NaN })).to.throw(RangeError, /grace/);
    });
  });
}

/** TCP sockets of this process that are connected to that port. */
function openSockets(port: number | undefined): number {
  const handles = (
    process as unknown as { _getActiveHandles(): { remotePort?: number; destroyed?: boolean }[] }
  )._getActiveHandles();
  return handles.filter(({ remotePort, destroyed }) => remotePort === port && destroyed !== true).length;
}

/** Whether this Node can move a socket to another thread: found out with one. */
async function canMoveSockets(): Promise<boolean> {
  const server = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1');
  await settled(once(server, 'listening'));
  const accepted = once(server, 'connection');
  const client = await dial((server.address() as AddressInfo).port);
  const [socket] = (await settled(accepted)) as [Socket];
  const { port1, port2 } = new MessageChannel();
  try {
    port1.postMessage(socket, [socket as never]);
    return true;
  } catch {
    return false;
  } finally {
    port2.close();
    socket.destroy();
    client.destroy();
    server.close();
  }
}

describe('serveSockets: where a connection goes', () => {
  /** Serves a client that asks twenty times, and blocks this thread from the first answer to the last. */
  async function serveWhileBlocked(pool: ThreadPoolExecutor | ProcessPoolExecutor): Promise<void> {
    await using server = await serveSockets(pool, echo, LOCAL);
    const state = new Int32Array(new SharedArrayBuffer(8));
    const client = new Worker(
      `const { workerData: { port, state } } = require('node:worker_threads');
       const socket = require('node:net').connect(port, '127.0.0.1');
       let rounds = 0;
       socket.write('apple');
       socket.on('data', () => {
         rounds++;
         if (rounds === 1) {
           Atomics.store(state, 0, 1);
           Atomics.notify(state, 0);
           Atomics.wait(state, 1, 0);
         }
         if (rounds < 20) return socket.write('apple');
         Atomics.store(state, 0, 2);
         Atomics.notify(state, 0);
         socket.end();
       });`,
      { eval: true, workerData: { port: server.address().port, state } },
    );
    const ended = once(client, 'exit');
    await eventually(() => Atomics.load(state, 0) === 1, 'the first answer');
    Atomics.store(state, 1, 1);
    Atomics.notify(state, 1);
    expect(Atomics.wait(state, 0, 1, 10_000)).to.not.equal('timed-out');
    expect(Atomics.load(state, 0)).to.equal(2);
    await settled(ended, 'the end of the client');
  }

  it('to processes it is handed over: it goes on while the thread of the parent is blocked', async () => {
    await using pool = new ProcessPoolExecutor(1);
    await serveWhileBlocked(pool);
  });

  it('to threads it is moved where Node can do that: it goes on while the thread that accepted it is blocked', async function () {
    if (!(await canMoveSockets())) this.skip();
    await using pool = new ThreadPoolExecutor(1);
    await serveWhileBlocked(pool);
  });

  it('a socket that was moved for a task that is cancelled before it began is closed', async function () {
    if (!(await canMoveSockets())) this.skip();
    const server = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1');
    await settled(once(server, 'listening'));
    const accepted = once(server, 'connection');
    const client = await dial((server.address() as AddressInfo).port);
    const [socket] = (await settled(accepted)) as [Socket];
    using gate = new Gate(true);
    await using pool = new ThreadPoolExecutor(1, { concurrentTasksPerWorker: 2 });
    const blocker = pool.submit(passGate, gate.token);
    await gate.arrived();
    const future = pool.submit((given: Socket) => given.end('apple'), socket);
    await eventually(() => socket.destroyed, 'the move');
    expect(future.cancel()).to.equal(true);
    gate.open();
    await closed(client);
    await settled(blocker);
    server.close();
  });

  it('a connection on its way to a process that dies is closed', async () => {
    await using pool = new ProcessPoolExecutor(1, { concurrentTasksPerWorker: 8 });
    await using server = await serveSockets(pool, echo, LOCAL);
    const pid = await settled(pool.submit(() => process.pid));
    // Stopped, it reads nothing of what it is sent.
    process.kill(pid, 'SIGSTOP');
    const clients = await Promise.all([1, 2, 3].map(() => dial(server.address().port)));
    await eventually(() => server.stats().active === 3, 'the connections');
    process.kill(pid, 'SIGKILL');
    await Promise.all(clients.map(closed));
    await eventually(() => server.stats().failed === 3, 'the end of the tasks');
  });

  it('sockets that were given to tasks of a process that dies before it has them are closed', async () => {
    await using pool = new ProcessPoolExecutor(1, { concurrentTasksPerWorker: 8 });
    const pid = await settled(pool.submit(() => process.pid));
    const listener = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1');
    await settled(once(listener, 'listening'));
    // Stopped, it reads nothing of what it is sent: the first socket is on its way, the others wait here.
    process.kill(pid, 'SIGSTOP');
    const clients: Socket[] = [];
    const futures: Future<unknown>[] = [];
    for (let i = 0; i < 4; i++) {
      const accepted = once(listener, 'connection');
      clients.push(await dial((listener.address() as AddressInfo).port));
      const [socket] = (await settled(accepted)) as [Socket];
      futures.push(pool.submit((given: Socket) => given.end('apple'), socket));
    }
    process.kill(pid, 'SIGKILL');
    for (const future of futures) await rejectionAs(future, WorkerDiedError);
    await Promise.all(clients.map(closed));
    listener.close();
  });

  it('a socket that is an argument is not read before the module of its task has loaded', async () => {
    using loading = new Gate(false);
    const url = new URL('../fixtures/gated-module.js', import.meta.url);
    url.searchParams.set('gate', String(loading.token));
    const { endAfterTheEnd } = tasksFrom<typeof import('../fixtures/gated-module.js')>(url);
    await using pool = new ProcessPoolExecutor(1, { concurrentTasksPerWorker: 2 });
    const listener = createServer({ pauseOnConnect: true, allowHalfOpen: true }).listen(0, '127.0.0.1');
    await settled(once(listener, 'listening'));
    const accepted = once(listener, 'connection');
    const answer = ask((listener.address() as AddressInfo).port, '');
    const [socket] = (await settled(accepted)) as [Socket];
    const future = pool.submit(endAfterTheEnd, socket);
    await loading.arrived();
    for (let i = 0; i < 20; i++) await settled(pool.submit(() => new Promise((resolve) => setImmediate(resolve))));
    loading.open();
    expect(String(await answer)).to.equal('apple');
    await settled(future);
    listener.close();
  });

  it('setNoDelay() and setKeepAlive() of a bridged socket are done by the socket itself', async function () {
    if (await canMoveSockets()) this.skip();
    const called: unknown[] = [];
    const note = (message: unknown) => {
      const { socket } = message as { socket: Socket };
      for (const method of ['setNoDelay', 'setKeepAlive'] as const)
        socket[method] = (...args: unknown[]) => {
          called.push([method, ...args]);
          return socket;
        };
    };
    subscribe('net.server.socket', note);
    try {
      await using pool = new ThreadPoolExecutor(1);
      const handler = (socket: Socket) => {
        socket.setNoDelay().setNoDelay(false).setKeepAlive(true, 5000).setKeepAlive();
        socket.end('apple');
      };
      await using server = await serveSockets(pool, handler, LOCAL);
      expect(String(await readToEnd(await dial(server.address().port)))).to.equal('apple');
    } finally {
      unsubscribe('net.server.socket', note);
    }
    expect(called).to.deep.equal([
      ['setNoDelay', true],
      ['setNoDelay', false],
      ['setKeepAlive', true, 5000],
      ['setKeepAlive', false, undefined],
    ]);
  });

  it('`noDelay`, `keepAlive` and `keepAliveInitialDelay` hold for each connection', async () => {
    const settings: Record<string, unknown> = {};
    const note = (message: unknown) => {
      const { socket } = message as { socket: Record<symbol, unknown> };
      // There is no public way to ask for them.
      for (const symbol of Object.getOwnPropertySymbols(socket)) settings[String(symbol.description)] = socket[symbol];
    };
    subscribe('net.server.socket', note);
    try {
      await using pool = new ThreadPoolExecutor(1);
      const options = { ...LOCAL, noDelay: true, keepAlive: true, keepAliveInitialDelay: 5000 };
      await using server = await serveSockets(pool, (socket: Socket) => socket.end('apple'), options);
      expect(String(await readToEnd(await dial(server.address().port)))).to.equal('apple');
    } finally {
      unsubscribe('net.server.socket', note);
    }
    expect(settings).to.include({ kSetNoDelay: true, kSetKeepAlive: true, kSetKeepAliveInitialDelay: 5 });
  });

  it('a client socket that is being connected is bridged to a process', async () => {
    await using pool = new ProcessPoolExecutor(1);
    // Sent at once, it has no time to be connected.
    await settled(pool.submit(() => 1));
    const listener = createServer((socket) => socket.pipe(socket)).listen(0, '127.0.0.1');
    await settled(once(listener, 'listening'));
    const client = connect((listener.address() as AddressInfo).port, '127.0.0.1');
    const talk = async (socket: Socket) => {
      socket.end('apple');
      let heard = '';
      for await (const chunk of socket) heard += String(chunk);
      return heard;
    };
    expect(await settled(pool.submit(talk, client))).to.equal('apple');
    listener.close();
  });

  it('a connection that a process has no file descriptor for fails, and the others go on', async function () {
    await using pool = new ProcessPoolExecutor(1, { concurrentTasksPerWorker: 64 });
    const heard: unknown[] = [];
    await using server = await serveSockets(pool, echo, { ...LOCAL, onError: (error) => heard.push(error) });
    const { port } = server.address();
    expect(String(await ask(port, 'apple'))).to.equal('apple');
    const pid = await settled(pool.submit(() => process.pid));
    const limit = (files: number) => spawnSync('prlimit', [`--pid=${String(pid)}`, `--nofile=${String(files)}:4096`]);
    if (limit(48).status !== 0) this.skip();
    // Node warns of each.
    // eslint-disable-next-line @typescript-eslint/unbound-method -- only put back
    const { emitWarning } = process;
    process.emitWarning = () => undefined;
    const clients = await Promise.all(Array.from({ length: 48 }, () => dial(port)));
    try {
      await eventually(() => heard.length > 0, 'the first that fails');
      limit(4096);
      for (const client of clients) client.end();
      await eventually(() => server.stats().active === 0, 'the end of all');
    } finally {
      process.emitWarning = emitWarning;
    }
    expect(server.stats().failed).to.equal(heard.length);
    expect(String(heard[0])).to.match(/did not reach the process/);
    expect(String(await ask(port, 'banana'))).to.equal('banana');
    for (const client of clients) client.destroy();
  });

  for (const Pool of [ThreadPoolExecutor, ProcessPoolExecutor]) {
    it(`a loop over a socket that is an argument leaves it open for an answer: ${Pool.name}`, async () => {
      await using pool = new Pool(1);
      const listener = createServer({ pauseOnConnect: true, allowHalfOpen: true }).listen(0, '127.0.0.1');
      await settled(once(listener, 'listening'));
      const accepted = once(listener, 'connection');
      const answer = ask((listener.address() as AddressInfo).port, 'apple');
      const [socket] = (await settled(accepted)) as [Socket];
      const read = async (given: Socket) => {
        let text = '';
        for await (const chunk of given) text += String(chunk);
        given.end(`got ${text}`);
      };
      await settled(pool.submit(read, socket));
      expect(String(await answer)).to.equal('got apple');
      listener.close();
    });
  }

  it('of a connection that was handed to a process nothing stays here when its task has ended', async () => {
    const accepted: Socket[] = [];
    const note = (message: unknown) => {
      accepted.push((message as { socket: Socket }).socket);
    };
    subscribe('net.server.socket', note);
    try {
      await using pool = new ProcessPoolExecutor(1);
      await using server = await serveSockets(pool, (socket: Socket) => socket.end('apple'), LOCAL);
      expect(String(await readToEnd(await dial(server.address().port)))).to.equal('apple');
      await eventually(() => server.stats().completed === 1, 'the end of the task');
      expect(accepted.map(({ destroyed }) => destroyed)).to.deep.equal([true]);
    } finally {
      unsubscribe('net.server.socket', note);
    }
  });

  it('a connection that has ended counts as served although its process ends in the same turn of the event loop', async () => {
    await using pool = new ProcessPoolExecutor(1);
    const farewell = (socket: Socket) => {
      socket.once('finish', () => setImmediate(() => process.exit(0)));
      socket.end('apple');
    };
    await using server = await serveSockets(pool, farewell, LOCAL);
    expect(String(await readToEnd(await dial(server.address().port)))).to.equal('apple');
    await eventually(() => server.stats().active === 0, 'the end of the task');
    expect(server.stats()).to.include({ completed: 1, failed: 0 });
  });

  it('a socket of TLS is bridged to a process, which cannot be handed it', async () => {
    const key = Buffer.from('apple');
    const psk = { ciphers: 'PSK', minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' } as const;
    await using pool = new ProcessPoolExecutor(1);
    const done: Promise<unknown>[] = [];
    const server = createTlsServer({ ...psk, pskCallback: () => key }, (socket) => {
      done.push(settled(pool.submit(echo, socket)));
    });
    await settled(once(server.listen(LOCAL), 'listening'));
    const { port } = server.address() as AddressInfo;
    const options = { ...psk, port, host: '127.0.0.1', checkServerIdentity: () => undefined };
    const client = connectTls({ ...options, pskCallback: () => ({ psk: key, identity: 'apple' }) });
    try {
      client.end('banana');
      expect((await readToEnd(client)).toString()).to.equal('banana');
      await settled(Promise.all(done));
      expect(await settled(pool.submit(() => 1))).to.equal(1);
    } finally {
      client.destroy();
      server.close();
    }
  });

  it('an `onError` that throws harms nobody when the pool takes no more tasks', async () => {
    const pool = new ThreadPoolExecutor(1);
    const original = console.error;
    let reported = 0;
    console.error = () => reported++;
    try {
      const onError = () => {
        throw new Error('apple');
      };
      await using server = await serveSockets(pool, echo, { ...LOCAL, onError });
      await settled(pool.shutdown());
      await closed(await dial(server.address().port));
      await eventually(() => server.stats().failed === 1, 'the end of the connection');
      expect(reported).to.equal(1);
    } finally {
      console.error = original;
    }
  });

  it('the number of slots follows the size of the pool', async () => {
    await using pool = new ThreadPoolExecutor(1);
    await using server = await serveSockets(pool, echo, LOCAL);
    const { port } = server.address();
    const silent = await dial(port);
    await eventually(() => server.stats().active === 1, 'the silent one');
    const waiting = ask(port, 'apple');
    await eventually(() => server.stats().waiting === 1, 'the one in line');
    await pool.resize({ maxWorkers: 2 });
    expect((await waiting).toString()).to.equal('apple');
    expect((await ask(port, 'banana')).toString()).to.equal('banana');
    silent.end();
    await closed(silent);
  });
});
