import { createSocket, Socket } from 'node:dgram';
import { once } from 'node:events';
import { expect } from 'chai';
import { ExecutorShutdownError, TimeoutError } from 'concurrent-futures';
import {
  type DatagramHandler,
  type DatagramOptions,
  type PooledServer,
  serveDatagrams,
} from 'concurrent-futures/server';
import { type GateToken, passGate, passGateAsync } from '../support/gate.js';
import { type PoolOptions, useBench } from '../support/pool-under-test.js';
import * as processes from '../support/process-pool.js';
import * as threads from '../support/thread-pool.js';
import { eventually, instance, rejectionAs, rejectionOf, settled } from '../support/watchdog.js';

const LOCAL = { port: 0, address: '127.0.0.1' };
const upper = (message: Uint8Array): string => new TextDecoder().decode(message).toUpperCase();

for (const [name, { makeExecutor, capabilities }] of [
  ['ThreadPoolExecutor', threads],
  ['ProcessPoolExecutor', processes],
] as const) {
  describe(`serveDatagrams: ${name}`, () => {
    const servers: PooledServer[] = [];
    const clients: Socket[] = [];

    // Before the pools are taken down: they wait for the tasks of the servers.
    afterEach(async () => {
      for (const client of clients.splice(0)) client.close();
      const ends = Promise.all(servers.splice(0).map((server) => server.close({ grace: 0 })));
      await settled(ends, 'the end of the servers');
    });

    const bench = useBench(makeExecutor, capabilities);

    async function serve(
      handler: DatagramHandler,
      { pool = { maxWorkers: 2 }, ...options }: Partial<DatagramOptions> & { pool?: PoolOptions } = {},
    ): Promise<PooledServer> {
      const server = await serveDatagrams(bench.pool(pool), handler, { ...LOCAL, ...options });
      servers.push(server);
      return server;
    }

    /** A client, and the texts that it has received. */
    function dial(server: PooledServer): { send: (text: string) => void; received: string[]; client: Socket } {
      const client = createSocket('udp4');
      clients.push(client);
      const received: string[] = [];
      client.on('message', (message) => received.push(message.toString()));
      const { port } = server.address();
      return {
        client,
        received,
        send: (text) => {
          client.send(text, port, '127.0.0.1');
        },
      };
    }

    /** Waits at the gate of its pool, then answers. */
    const waiting = (token: GateToken): { handler: DatagramHandler; pool: PoolOptions } => ({
      handler: (0, eval)(`async (message) => {
        await (${passGateAsync.toString()})(globalThis.token);
        return message;
      }`) as DatagramHandler,
      pool: {
        maxWorkers: 1,
        initializer: (given: unknown) => {
          (globalThis as { token?: unknown }).token = given;
        },
        initargs: [token],
      },
    });

    it('a datagram is a task, and what it returns is sent back', async () => {
      const server = await serve(upper);
      expect(server.address()).to.include({ address: '127.0.0.1', family: 'IPv4' });
      const { send, received } = dial(server);
      for (const text of ['apple', 'banana', 'cherry']) send(text);
      await eventually(() => received.length === 3, 'three answers');
      expect(received.sort()).to.deep.equal(['APPLE', 'BANANA', 'CHERRY']);
      await eventually(() => server.stats().active === 0, 'the end of the tasks');
      expect(server.stats()).to.include({ accepted: 3, completed: 3, failed: 0, refused: 0, waiting: 0 });
    });

    it('the handler is told where the datagram came from, and bytes are sent back as they are', async () => {
      const server = await serve((message, { address, port }) => {
        const from = new TextEncoder().encode(` from ${address}:${String(port)}`);
        const answer = new Uint8Array(message.length + from.length);
        answer.set(message);
        answer.set(from, message.length);
        return answer;
      });
      const { client, send, received } = dial(server);
      send('apple');
      await eventually(() => received.length === 1, 'the answer');
      expect(received).to.deep.equal([`apple from 127.0.0.1:${String(client.address().port)}`]);
    });

    it('datagrams wait up to `maxPending`, further ones are dropped', async () => {
      const gate = bench.gate();
      const { handler, pool } = waiting(gate.token);
      const server = await serve(handler, { pool, maxPending: 2 });
      const { send, received } = dial(server);
      send('apple');
      await gate.arrived();
      for (const text of ['banana', 'cherry', 'date']) send(text);
      await eventually(() => server.stats().accepted === 4, 'the arrival of all');
      expect(server.stats()).to.include({ active: 1, waiting: 2, refused: 1 });
      gate.open();
      await eventually(() => received.length === 3, 'three answers');
      expect(received).to.deep.equal(['apple', 'banana', 'cherry']);
    });

    it('datagrams wait while the queue of the pool is full of the tasks of others', async () => {
      const gate = bench.gate();
      const pool = bench.pool({ maxWorkers: 1, maxQueueSize: 0 });
      const errors: unknown[] = [];
      const server = await serveDatagrams(pool, upper, { ...LOCAL, onError: (error) => errors.push(error) });
      servers.push(server);
      const other = pool.submit(passGate, gate.token);
      const { send, received } = dial(server);
      for (const text of ['apple', 'banana']) send(text);
      await eventually(() => server.stats().waiting === 2, 'both in line');
      await gate.arrived();
      gate.open();
      await eventually(() => received.length === 2, 'the answers');
      await settled(other);
      expect(errors).to.deep.equal([]);
    });

    it('a handler that throws harms no other, and `onError` hears of it, even one that throws', async () => {
      const heard: [unknown, number][] = [];
      const server = await serve(
        (message) => {
          if (message.length === 5) throw new RangeError('apple');
          return message;
        },
        {
          pool: { maxWorkers: 1 },
          onError: (error, from) => {
            heard.push([error, from.port]);
            throw new Error('cherry');
          },
        },
      );
      const original = console.error;
      let reported = 0;
      console.error = () => reported++;
      const { client, send, received } = dial(server);
      send('apple');
      send('banana');
      try {
        await eventually(() => received.length === 1 && heard.length === 1, 'the answer and the error');
      } finally {
        console.error = original;
      }
      expect(reported).to.equal(1);
      expect(received).to.deep.equal(['banana']);
      instance(heard[0]![0], RangeError);
      expect(heard[0]![1]).to.equal(client.address().port);
      expect(server.stats()).to.include({ failed: 1 });
    });

    it('a worker that dies fails its datagram only', async () => {
      const heard: unknown[] = [];
      const server = await serve(
        (message) => {
          if (message.length === 3) process.exit(3);
          return message;
        },
        { pool: { maxWorkers: 1 }, onError: (error) => heard.push(error) },
      );
      const { send, received } = dial(server);
      send('die');
      await eventually(() => heard.length === 1, 'the error');
      send('apple');
      await eventually(() => received.length === 1, 'the answer');
    });

    it('close() drops who waits, and the answers of what runs still leave', async () => {
      const gate = bench.gate();
      const { handler, pool } = waiting(gate.token);
      const server = await serve(handler, { pool });
      const { send, received } = dial(server);
      send('apple');
      await gate.arrived();
      send('banana');
      await eventually(() => server.stats().waiting === 1, 'the one that waits');
      const closing = server.close();
      gate.open();
      await settled(closing, 'close()');
      await eventually(() => received.length === 1, 'the answer');
      expect(received).to.deep.equal(['apple']);
      expect(server.stats()).to.include({ completed: 1, refused: 1, active: 0, waiting: 0 });
    });

    it('close({ grace }) ends what does not finish', async () => {
      const gate = bench.gate();
      const { handler, pool } = waiting(gate.token);
      const server = await serve(handler, { pool });
      dial(server).send('apple');
      await gate.arrived();
      await settled(server.close({ grace: 10 }), 'close()');
      expect(server.stats()).to.include({ failed: 1, active: 0 });
    });

    it('an answer that cannot be sent is lost, and nothing else; `onError` hears of it', async () => {
      const heard: unknown[] = [];
      const server = await serve(upper, { onError: (error) => heard.push(error) });
      const { send, received } = dial(server);
      const { prototype } = Socket;
      // eslint-disable-next-line @typescript-eslint/unbound-method -- only put back
      const original = prototype.send;
      // As when it came from port 0.
      prototype.send = function (this: Socket, ...args: unknown[]) {
        if (String(args[0]) === 'APPLE') throw new RangeError('Port should be > 0');
        Reflect.apply(original, this, args);
      } as typeof original;
      try {
        send('apple');
        await eventually(() => server.stats().failed === 1, 'the end of the first one');
        send('banana');
        await eventually(() => received.length === 1, 'the answer');
      } finally {
        prototype.send = original;
      }
      instance(heard[0], RangeError);
      expect(received).to.deep.equal(['BANANA']);
      await settled(server.close(), 'close()');
    });

    it('a text and bytes of every kind are sent back, and nothing where nothing is returned', async () => {
      const answers: DatagramHandler[] = [
        () => 'apple',
        () => new TextEncoder().encode('apple'),
        () => new TextEncoder().encode('apple').buffer,
        () => new DataView(new TextEncoder().encode('a pear, an apple, a plum').buffer, 11, 5),
        () => new Uint16Array([0x7061, 0x6c70]),
      ];
      for (const handler of answers) {
        const server = await serve(handler);
        const { send, received } = dial(server);
        send('?');
        await eventually(() => received.length === 1, 'the answer');
        expect(received[0]).to.match(/^appl/);
      }
      for (const handler of [() => undefined, () => null]) {
        const server = await serve(handler);
        dial(server).send('?');
        await eventually(() => server.stats().completed === 1, 'the end of the handler');
      }
    });

    it('`onError` hears of an answer that is no text and no bytes, and of one too long for a datagram', async () => {
      const heard: unknown[] = [];
      const options = { onError: (error: unknown) => heard.push(error) };
      const number = await serve(() => 5, options);
      dial(number).send('?');
      await eventually(() => number.stats().failed === 1, 'the first failure');
      expect(instance(heard[0], TypeError).message).to.match(/returned 5/);
      const long = await serve(() => new Uint8Array(70_000), options);
      dial(long).send('?');
      await eventually(() => long.stats().failed === 1, 'the second failure');
      expect(heard[1]).to.include({ code: 'EMSGSIZE' });
    });

    it('`timeout` stops the handler, and `onError` hears of it', async () => {
      const heard: unknown[] = [];
      const options = { timeout: 20, pool: { maxWorkers: 1 }, onError: (error: unknown) => heard.push(error) };
      const server = await serve(() => new Promise(() => undefined), options);
      dial(server).send('?');
      await eventually(() => server.stats().failed === 1, 'the end of the handler');
      instance(heard[0], TimeoutError);
    });

    it('`signal` closes the server and stops its handlers', async () => {
      const controller = new AbortController();
      const gate = bench.gate();
      const { handler, pool } = waiting(gate.token);
      const server = await serve(handler, { pool, signal: controller.signal });
      const { send } = dial(server);
      send('apple');
      await gate.arrived();
      send('banana');
      await eventually(() => server.stats().waiting === 1, 'the one that waits');
      controller.abort();
      await settled(server.close(), 'the end of the server');
      expect(server.stats()).to.include({ failed: 1, refused: 1, active: 0, waiting: 0 });
      const reason = new Error('cherry');
      expect(await rejectionOf(serve(upper, { signal: AbortSignal.abort(reason) }))).to.equal(reason);
    });

    it('`host` is another name for `address`', async () => {
      const server = await serve(upper, { address: undefined, host: '127.0.0.1' });
      expect(server.address()).to.include({ address: '127.0.0.1' });
    });

    it('a port in use rejects with EADDRINUSE', async () => {
      const other = createSocket('udp4');
      other.bind(0, '127.0.0.1');
      await settled(once(other, 'listening'));
      expect(await rejectionOf(serve(upper, { port: other.address().port }))).to.include({ code: 'EADDRINUSE' });
      other.close();
    });

    it('nonsense options are refused by name', async () => {
      for (const [options, errorClass, text] of [
        [{ port: -1 }, RangeError, /port/],
        [{ port: 70_000 }, RangeError, /port/],
        [{ port: '1' }, TypeError, /port/],
        [{ maxPending: 0.5 }, RangeError, /maxPending/],
        [{ type: 'apple' }, TypeError, /type/],
        [{ timeout: -1 }, RangeError, /timeout/],
        [{ timeout: '1' }, TypeError, /timeout/],
        [{ signal: {} }, TypeError, /signal/],
        [{ onError: 'apple' }, TypeError, /onError/],
      ] as const) {
        const error = await rejectionAs(serve(upper, options as never), errorClass as never);
        expect(String(error)).to.match(text);
      }
      expect(String(await rejectionAs(serveDatagrams({} as never, upper, LOCAL), TypeError))).to.match(/executor/);
      const shut = bench.pool();
      await settled(shut.shutdown());
      await rejectionAs(serveDatagrams(shut, upper, LOCAL), ExecutorShutdownError);
    });
  });
}
