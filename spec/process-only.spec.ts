import type { ChildProcess } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { open } from 'node:fs/promises';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { BrokenProcessPool, ExecutorShutdownError, proxy, transfer, WorkerDiedError } from 'concurrent-futures';
import { ProcessPoolExecutor } from 'concurrent-futures/process';
import { Brook, reasonBehindGate } from './fixtures/values.js';
import { passGate, passGateAsync, touch } from './support/gate.js';
import { useBench } from './support/pool-under-test.js';
import { capabilities, makeExecutor } from './support/process-pool.js';
import { lives, Script } from './support/scripts.js';
import { ask } from './support/tcp.js';
import { eventually, instance, rejectionAs, rejectionOf, settled, thrownBy, withWatchdog } from './support/watchdog.js';

describe('ProcessPoolExecutor: the channel', () => {
  const bench = useBench(makeExecutor, capabilities);

  it('what a task sends by process.send is no message of ours, whatever it looks like', async () => {
    const pool = bench.pool({ maxWorkers: 1 });
    const messages = [
      [],
      [0],
      [1],
      [0, 'x'],
      [1, 'progress'],
      [2, 50],
      [3, 'x'],
      [4, 'x'],
      [1, { 0: 255 }],
      {},
      'text',
      5,
    ];
    for (const message of messages) {
      const send = (value: unknown) => process.send?.(value) ?? false;
      expect(await settled(pool.submit(send, message)), JSON.stringify(message)).to.equal(true);
    }
    expect(await settled(pool.submit(() => 1))).to.equal(1);
  });

  const losses: Record<string, () => unknown> = {
    'has closed its descriptor': () => {
      process.getBuiltinModule('node:fs').closeSync(3);
      return new Promise((resolve) => setTimeout(resolve, 60_000));
    },
    'has closed its descriptor, and ends': () => {
      process.getBuiltinModule('node:fs').closeSync(3);
    },
    'has disconnected it unheard': () => {
      process.removeAllListeners('disconnect');
      process.disconnect();
      return new Promise((resolve) => setTimeout(resolve, 60_000));
    },
    'has it taken for disconnected': () => {
      process.connected = false;
    },
  };
  for (const [what, lose] of Object.entries(losses)) {
    it(`a task that ${what} fails with its process, and the next one has another`, async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      const pid = await settled(pool.submit(() => process.pid));
      await rejectionAs(pool.submit(lose), WorkerDiedError);
      expect(await settled(pool.submit(() => process.pid))).to.not.equal(pid);
      expect(lives(pid)).to.equal(false);
    });
  }

  const harms: Record<string, () => unknown> = {
    'deletes process.send': () => Reflect.deleteProperty(process, 'send'),
    'removes who listens to messages': () => process.removeAllListeners('message') === process,
    'removes all who listen': () => process.removeAllListeners() === process,
  };
  for (const [what, harm] of Object.entries(harms)) {
    it(`a task that ${what} cuts its process off from nothing`, async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      const pid = await settled(pool.submit(() => process.pid));
      expect(await settled(pool.submit(harm))).to.equal(true);
      expect(await settled(pool.submit(() => process.pid))).to.equal(pid);
      const server = createServer().listen(0, '127.0.0.1');
      try {
        await settled(once(server, 'listening'));
        for (let i = 0; i < 2; i++) {
          expect(await settled(pool.submit((given: Server) => given.close().listening, server))).to.equal(false);
        }
      } finally {
        server.close();
      }
      expect(await settled(pool.submit(() => process.pid))).to.equal(pid);
    });
  }

  it('a task that removes all who listen leaves its process to end with its channel', async () => {
    const pool = bench.pool({ maxWorkers: 1 });
    const pid = await settled(
      pool.submit(() => {
        setInterval(() => undefined, 1000);
        process.removeAllListeners();
        return process.pid;
      }),
    );
    await settled(pool.shutdown());
    expect(lives(pid)).to.equal(false);
  });

  it('a task that is submitted when an idle process has lost its channel goes to another one', async () => {
    const children: ChildProcess[] = [];
    const note = (message: unknown) => {
      children.push((message as { process: ChildProcess }).process);
    };
    subscribe('child_process', note);
    try {
      const pool = bench.pool({ maxWorkers: 1 });
      const gate = bench.gate();
      const loseLater = (0, eval)(`(token) => {
        const pass = ${passGateAsync.toString()};
        // Blocked, it hears of nothing and lives on.
        void pass(token).then(() => { process.getBuiltinModule('node:fs').closeSync(3); for (;;); });
        return process.pid;
      }`) as (token: unknown) => number;
      const pid = await settled(pool.submit(loseLater, gate.token));
      const [child] = children;
      expect(child?.pid).to.equal(pid);
      const lost = once(child as ChildProcess, 'disconnect');
      gate.open();
      await settled(lost, 'the end of the channel');
      expect(await settled(pool.submit(() => process.pid))).to.not.equal(pid);
    } finally {
      unsubscribe('child_process', note);
    }
  });
});

describe('ProcessPoolExecutor: handles', () => {
  const bench = useBench(makeExecutor, capabilities);

  it('a server is handed over, also as the only argument, and accepts in the process', async () => {
    const pool = bench.pool({ maxWorkers: 1, concurrentTasksPerWorker: 2 });
    const server = createServer().listen(0, '127.0.0.1');
    await settled(once(server, 'listening'));
    const { port } = server.address() as AddressInfo;
    try {
      await settled(
        pool.submit((given: Server) => {
          given.on('connection', (socket) => socket.end(String(process.pid)));
        }, server),
      );
    } finally {
      server.close();
    }
    const pid = await settled(pool.submit(() => process.pid));
    expect((await ask(port, 'apple')).toString()).to.equal(String(pid));
  });

  it('a server that was closed before it was sent fails its task only', async () => {
    const pool = bench.pool({ maxWorkers: 1 });
    const server = createServer().listen(0, '127.0.0.1');
    await settled(once(server, 'listening'));
    server.close();
    await rejectionOf(pool.submit((given: Server) => given.listening, server));
    expect(await settled(pool.submit(() => 1))).to.equal(1);
  });
});

describe('ProcessPoolExecutor: what is more than it looks', () => {
  const bench = useBench(makeExecutor, capabilities);

  for (const [name, makeServer] of [
    ['tls', () => createTlsServer()],
    ['https', () => createHttpsServer()],
  ] as const) {
    it(`a server of ${name} is refused: TLS does not go with its handle`, async () => {
      const pool = bench.pool({ maxWorkers: 1 });
      const server = makeServer().listen(0, '127.0.0.1');
      await settled(once(server, 'listening'));
      try {
        const refused = pool.submit((n: number, given: object) => n + Object.keys(given).length, 1, server);
        const error = await rejectionAs(refused, DOMException);
        expect(error.name).to.equal('DataCloneError');
        expect(error.message).to.include('Argument 2').and.include('TLS');
        expect(server.listening).to.equal(true);
      } finally {
        server.close();
      }
    });
  }

  it('what cannot be moved to another process is called by its class', async () => {
    const pool = bench.pool({ maxWorkers: 1 });
    const handle = await open(fileURLToPath(import.meta.url));
    try {
      const refused = pool.submit((given: object) => Object.keys(given).length, transfer({ handle }, [handle]));
      const error = await rejectionAs(refused, DOMException);
      expect(error.message).to.include('FileHandle');
    } finally {
      await handle.close();
    }
  });

  it('an item of a stream that cannot be sent is named by its place', async () => {
    const pool = bench.pool({ maxWorkers: 1 });
    for (const [item, what] of [
      ['new SharedArrayBuffer(8)', 'SharedArrayBuffer'],
      ['new Blob([])', 'Blob'],
    ] as const) {
      const generate = (0, eval)(`(function* items() { yield 1; yield { deep: [${item}] }; })`) as () => Generator;
      const stream = pool.stream(generate);
      expect(await settled(stream.next())).to.deep.equal({ done: false, value: 1 });
      const error = await rejectionAs(stream.next(), DOMException);
      expect(error.message).to.include('Item of the stream items').and.include('its .deep[0]').and.include(what);
    }
  });
});

describe('ProcessPoolExecutor: shared memory', () => {
  const bench = useBench(makeExecutor, capabilities);

  it('a typed array over shared memory is refused on both ways, and the error says so', async () => {
    const pool = bench.pool({ maxWorkers: 1 });
    const shared = new Uint8Array(new SharedArrayBuffer(8));
    const argument = await rejectionAs(
      pool.submit((bytes: Uint8Array) => bytes.length, shared),
      DOMException,
    );
    const result = await rejectionAs(
      pool.submit(() => new Uint8Array(new SharedArrayBuffer(8))),
      DOMException,
    );
    for (const { message } of [argument, result]) {
      expect(message).to.include('it is an object of class Uint8Array over shared memory');
    }
  });
});

describe('ProcessPoolExecutor: large results', () => {
  const bench = useBench(makeExecutor, capabilities);

  for (const bytes of [40_000, 300_000, 5_000_000]) {
    it(`a result of ${bytes.toLocaleString('en')} bytes is neither held nor lost by what its process does next`, async () => {
      const pool = bench.pool({ maxWorkers: 1, concurrentTasksPerWorker: 4 });
      await settled(pool.submit(() => 1));
      const gate = bench.gate();
      const results = [
        pool.submit((n: number) => new Uint8Array(n), bytes),
        pool.submit((n: number) => 'x'.repeat(n), bytes),
      ];
      const blocker = pool.submit(passGate, gate.token);
      expect((await settled(Promise.all(results))).map(({ length }) => length)).to.deep.equal([bytes, bytes]);
      gate.open();
      await settled(blocker);
      const last = pool.submit((n: number) => new Uint8Array(n), bytes);
      const end = pool.submit(() => process.exit(0));
      expect((await settled(last)).length).to.equal(bytes);
      await rejectionAs(end, WorkerDiedError);
    });
  }
});

describe('ProcessPoolExecutor: results that cannot be read here', () => {
  const bench = useBench(makeExecutor, capabilities);

  it('fail alone, although other tasks wait in the process for a large result to leave it', async () => {
    const pool = bench.pool({ maxWorkers: 1, concurrentTasksPerWorker: 8 });
    await settled(pool.submit(() => 1));
    const nested = (depth: number) => {
      let list: unknown = null;
      for (let i = 0; i < depth; i++) list = { i, next: list };
      return list;
    };
    for (let round = 0; round < 10; round++) {
      const large = () => pool.submit((n: number) => new Uint8Array(n), 2_000_000);
      const [before, deep, after] = [large(), pool.submit(nested, 3000), large()];
      const small = [1, 2, 3, 4, 5].map((n) => pool.submit((given: number) => given, n));
      expect((await rejectionAs(deep, DOMException)).name).to.equal('DataCloneError');
      expect((await settled(Promise.all([before, after]))).map(({ length }) => length)).to.deep.equal([2e6, 2e6]);
      expect(await settled(Promise.all(small))).to.deep.equal([1, 2, 3, 4, 5]);
    }
  });
});

describe('ProcessPoolExecutor: what a call cannot carry', () => {
  const bench = useBench(makeExecutor, capabilities);

  it('fails that call of a callback and no other, and the error says what it is and where', async () => {
    const pool = bench.pool({ maxWorkers: 1 });
    let answer: (text: string) => void = () => undefined;
    const slow = new Promise<string>((resolve) => {
      answer = resolve;
    });
    const callback = (kind: unknown) => {
      if (kind === 'slow') return slow;
      if (kind === 'answer') answer('in the end');
      return kind === 'shared' ? { deep: [new SharedArrayBuffer(8)] } : new Blob(['brie']);
    };
    const call = async (given: (kind: unknown) => Promise<unknown>) => {
      const waiting = given('slow');
      const messages: unknown[] = [];
      for (const kind of ['shared', 'blob', { list: [new Blob([])] }, new SharedArrayBuffer(8)]) {
        messages.push(await given(kind).catch((error: unknown) => (error as Error).message));
      }
      await given('answer').catch(() => undefined);
      return [...messages, await waiting];
    };
    const outcome = (await settled(pool.submit(call, proxy(callback as (kind: unknown) => Promise<unknown>)))).map(
      String,
    );
    const [shared, blob, blobGiven, sharedGiven, last] = outcome;
    expect(shared).to.include('The value of the call').and.include('its .deep[0]').and.include('SharedArrayBuffer');
    expect(blob).to.include('The value of the call').and.include('Blob');
    expect(blobGiven).to.include('Argument 1 of the call').and.include('its .list[0]').and.include('Blob');
    expect(sharedGiven).to.include('Argument 1 of the call').and.include('SharedArrayBuffer');
    expect(last).to.equal('in the end');
  });

  it('fails that call of an object and no other', async () => {
    const pool = bench.pool({ maxWorkers: 1 });
    const gate = bench.gate();
    const brook = await settled(pool.create(Brook));
    const waiting = brook.wait(gate.token);
    await gate.arrived();
    const sent = await rejectionAs(brook.streamOf(1, new Blob([])), DOMException);
    expect(sent.message).to.include('Argument 2 of the call').and.include('Blob');
    expect((await rejectionAs(brook.blob(), DOMException)).message).to.include('Blob');
    gate.open();
    expect(await settled(waiting)).to.equal(5);
  });

  it('fails a call that cannot be read on its arrival', async () => {
    const brook = await settled(bench.pool({ maxWorkers: 1 }).create(Brook));
    const { name, message } = await rejectionAs(brook.nested(3000), DOMException);
    expect(name).to.equal('DataCloneError');
    expect(message).to.include('cannot be read');
    expect((await settled(brook.response('brie'))).status).to.equal(201);
  });

  it('reaches an aborted signal as the reason why there is no reason', async () => {
    const pool = bench.pool({ maxWorkers: 1 });
    const gate = bench.gate();
    const controller = new AbortController();
    const reason = pool.submit(reasonBehindGate, controller.signal, gate.token);
    await gate.arrived();
    controller.abort({ shared: new SharedArrayBuffer(8) });
    gate.open();
    expect(await settled(reason)).to.equal('DataCloneError');
  });

  it('is no message on a MessagePort of the user, and a warning says what it is and where', async () => {
    const pool = bench.pool({ maxWorkers: 1 });
    const { port1, port2 } = new MessageChannel();
    try {
      const heard: unknown[] = [];
      const ready = new Promise((resolve) => {
        port1.on('message', (message) => {
          heard.push(message);
          resolve(undefined);
        });
      });
      const hear = async (port: InstanceType<typeof MessagePort>) => {
        const messages: unknown[] = [];
        const last = new Promise((resolve) => {
          port.on('message', (message) => {
            messages.push(message);
            if (message === 'last') resolve(undefined);
          });
        });
        port.postMessage('ready');
        await last;
        port.close();
        return messages;
      };
      const messages = pool.submit(hear, port2);
      await settled(ready);
      const warned = once(process, 'warning');
      port1.postMessage({ list: [1, new SharedArrayBuffer(8)] });
      port1.postMessage('last');
      const [warning] = (await settled(warned)) as [Error];
      expect(warning.name).to.equal('MessagePortWarning');
      expect(warning.message).to.include('its .list[1]').and.include('SharedArrayBuffer');
      expect(await settled(messages)).to.deep.equal(['last']);
      expect(heard).to.deep.equal(['ready']);
    } finally {
      port1.close();
    }
  });
});

describe('ProcessPoolExecutor: killWorkers', () => {
  const bench = useBench(makeExecutor, capabilities);

  it('ends the processes at once: what runs and what waits fails with BrokenProcessPool', async () => {
    const pool = instance(bench.pool({ maxWorkers: 1 }), ProcessPoolExecutor);
    const pid = await settled(pool.submit(() => process.pid));
    const gate = bench.gate();
    const running = pool.submit(passGate, gate.token);
    await gate.arrived();
    const queued = pool.submit(() => 1);
    await settled(pool.killWorkers(), 'killWorkers()');
    expect(lives(pid)).to.equal(false);
    await rejectionAs(running, BrokenProcessPool);
    await rejectionAs(queued, BrokenProcessPool);
    thrownBy(() => pool.submit(() => 1), ExecutorShutdownError);
  });

  it('ends a process that heeds no other signal', async () => {
    const pool = instance(bench.pool({ maxWorkers: 1 }), ProcessPoolExecutor);
    const gate = bench.gate();
    const deaf = (0, eval)(`(token) => {
      process.on('SIGTERM', () => {});
      process.on('disconnect', () => { for (;;); });
      return (${passGate.toString()})(token, process.pid);
    }`) as (token: unknown) => number;
    const running = pool.submit(deaf, gate.token);
    await gate.arrived();
    await settled(pool.killWorkers(), 'killWorkers()');
    await rejectionAs(running, BrokenProcessPool);
    expect(pool.stats().workers).to.equal(0);
  });

  it('leaves no process time for what it does at its end, and terminateWorkers() leaves it to idle ones', async () => {
    for (const [end, times] of [
      ['terminateWorkers', 1],
      ['killWorkers', 0],
    ] as const) {
      const pool = instance(bench.pool({ maxWorkers: 1 }), ProcessPoolExecutor);
      const tally = bench.tally();
      const touchAtEnd = (0, eval)(`(token) => {
        process.on('exit', () => (${touch.toString()})(token));
      }`) as (token: unknown) => void;
      await settled(pool.submit(touchAtEnd, tally.token));
      await settled(pool[end](), end);
      expect(tally.total, end).to.equal(times);
    }
  });

  it('can be called of a pool that has no processes, and twice', async () => {
    const pool = instance(bench.pool({ maxWorkers: 1 }), ProcessPoolExecutor);
    await settled(Promise.all([pool.killWorkers(), pool.killWorkers(), pool.terminateWorkers()]));
    await settled(pool.killWorkers());
  });
});

describe('ProcessPoolExecutor: orphans', () => {
  const busyPool = new URL('./fixtures/busy-pool.js', import.meta.url);

  for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
    it(`processes that loop for ever are gone when ${signal} has ended their parent`, async () => {
      const script = new Script(busyPool);
      try {
        const pids = (await script.printed(/busy (\d+)\n/, 2)).map(Number);
        expect(pids.every(lives)).to.equal(true);
        await script.kill(signal);
        await eventually(() => !pids.some(lives), 'the end of the orphans');
      } finally {
        await script.kill();
      }
    });
  }

  it('processes that loop for ever are gone after their parent although they preload what takes much memory', async () => {
    const script = new Script(busyPool, [fileURLToPath(new URL('./fixtures/heavy-preload.cjs', import.meta.url))]);
    let pids: number[] = [];
    try {
      pids = (await script.printed(/busy (\d+)\n/, 2)).map(Number);
      await script.kill();
      await eventually(() => !pids.some(lives), 'the end of the orphans');
    } finally {
      await script.kill();
      pids.filter(lives).forEach((pid) => process.kill(pid, 'SIGKILL'));
    }
  });

  it('a process whose parent dies while it starts is gone, although its initializer never ends', async () => {
    const script = new Script(new URL('./fixtures/early-orphan.js', import.meta.url));
    let pid: number | undefined;
    try {
      const [started] = await script.printed(/started (\d+)\n/);
      pid = Number(started);
      await script.kill();
      await script.printed(/blocked (\d+)\n/);
      await eventually(() => !lives(Number(started)), 'the end of the orphan');
    } finally {
      await script.kill();
      if (pid !== undefined && lives(pid)) process.kill(pid, 'SIGKILL');
    }
  });

  it('idle processes are gone when SIGKILL has ended their parent', async () => {
    const script = new Script(busyPool);
    try {
      const [line = ''] = await script.printed(/idle (\d+ \d+)\n/);
      await script.kill();
      const pids = line.split(' ').map(Number);
      const ends = eventually(() => !pids.some(lives), 'the end of the orphans');
      // The limit is that of the contract, with room for a machine that is busy.
      await withWatchdog(ends, 10_000, 'the end of the orphans');
    } finally {
      await script.kill();
    }
  });
});
