import { getEventListeners, once } from 'node:events';
import { createServer, connect, type Socket } from 'node:net';
import { PassThrough, Readable, Transform, Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { inspect } from 'node:util';
import type { MessagePort as Port } from 'node:worker_threads';
import FakeTimers from '@sinonjs/fake-timers';
import { expect } from 'chai';
import { proxy, transfer, transferHandlers, WorkerDiedError } from 'concurrent-futures';
import { learnTraps, returnTrap, Trap } from '../fixtures/traps.js';
import {
  catchFrom,
  Celsius,
  echoDuplex,
  failingReadable,
  learnValues,
  makeCallback,
  makeDeadlyCallback,
  makeNested,
  MouseError,
  moveBuffer,
  readableOf,
  readableWithFunction,
  warmer,
  whyAborted,
} from '../fixtures/values.js';
import { runScript } from '../support/child.js';
import { survivors } from '../support/garbage.js';
import { passGate, passGateAsync } from '../support/gate.js';
import { type Capabilities, type MakeExecutor, useBench } from '../support/pool-under-test.js';
import { eventually, instance, rejectionAs, rejectionOf, settled, turns } from '../support/watchdog.js';

/** What resists being looked at, and may be thrown. Functions that refer to nothing outside of themselves. */
const HOSTILE: Record<string, () => unknown> = {
  'a revoked proxy': () => {
    const { proxy: revoked, revoke } = Proxy.revocable({}, {});
    revoke();
    return revoked;
  },
  'an error whose message is a symbol': () => Object.assign(new Error('apple'), { message: Symbol('apple') }),
  'a frozen error': () => Object.freeze(new Error('apple')),
  'an error whose stack cannot be read': () =>
    Object.defineProperty(new Error('apple'), 'stack', {
      get() {
        throw new Error('no stack');
      },
    }),
};

/** What looks like plain data, and cannot be cloned. */
const ALMOST_PLAIN: Record<string, () => unknown> = {
  'a proxy of an object': () => new Proxy({ a: 1 }, {}),
  'a proxy of an array': () => [new Proxy([1], {})],
  'an arguments object': function () {
    // eslint-disable-next-line prefer-rest-params
    return arguments;
  },
};

const pair = (a: unknown, b: unknown) => [a, b];

/** A web stream of these items. */
const streamOf = (items: unknown[]) =>
  new ReadableStream<unknown>({
    start: (controller) => {
      for (const item of items) controller.enqueue(item);
      controller.close();
    },
  });

/** All that a web stream gives. */
const readAll = async (given: ReadableStream<unknown>) => {
  const items: unknown[] = [];
  for await (const item of given) items.push(item);
  return items;
};

/** Has a step of the handler of traps throw on this side while `body` runs. */
async function withTraps(
  step: 'serialize' | 'deserialize',
  thrown: () => unknown,
  body: () => Promise<void>,
): Promise<void> {
  const trap = transferHandlers.get('trap');
  if (trap === undefined) throw new Error('traps have no handler');
  const harmful = () => {
    throw thrown();
  };
  transferHandlers.set('trap', { ...trap, [step]: harmful });
  try {
    await body();
  } finally {
    transferHandlers.set('trap', trap);
  }
}

/** The warnings of this process while `body` runs. */
async function warningsDuring(body: () => Promise<void>): Promise<string[]> {
  const warnings: string[] = [];
  const note = (warning: Error) => warnings.push(warning.message);
  process.on('warning', note);
  try {
    await body();
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  } finally {
    process.off('warning', note);
  }
  return warnings;
}

/** Both ends of a TCP connection. */
async function connection(): Promise<{ client: Socket; socket: Socket; close: () => void }> {
  const server = createServer({ allowHalfOpen: true });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as { port: number };
  const accepted = once(server, 'connection');
  const client = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  const [socket] = (await accepted) as [Socket];
  const close = () => {
    client.destroy();
    socket.destroy();
    server.close();
  };
  return { client, socket, close };
}

/** What arguments and results may be, beyond what structured cloning takes. */
export function describeValues(name: string, makeExecutor: MakeExecutor, capabilities: Capabilities): void {
  describe(`${name}: values`, () => {
    const bench = useBench(makeExecutor, capabilities);

    describe('cloned', () => {
      it('a string of 50 MB goes there and back', async () => {
        const long = 'ä'.repeat(25_000_000);
        expect((await settled(bench.pool().submit((given: string) => given + given, long))).length).to.equal(50e6);
      });

      it('values that structured cloning takes arrive as they are', async () => {
        const value = {
          map: new Map([['a', new Set([1n])]]),
          date: new Date(0),
          expression: /x/gu,
          bytes: new Uint8Array([1, 2]),
          nothing: undefined,
          list: [null, NaN, -0],
        };
        expect(await settled(bench.pool().submit((given: object) => given, value))).to.deep.equal(value);
      });

      it('what cannot be cloned is refused with its position and its path, on both ways', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const take = (...values: unknown[]) => values.length;
        const argument = await rejectionAs(
          pool.submit(take, 1, { a: [new Map([['key', { callback: () => 1 }]])] }),
          DOMException,
        );
        expect(argument.name).to.equal('DataCloneError');
        expect(argument.message).to.include('Argument 2 of take').and.include('.a[0].get("key").callback');
        const result = await rejectionAs(
          pool.submit(function give() {
            return { 'odd key': [1, Symbol('s')] };
          }),
          DOMException,
        );
        expect(result.name).to.equal('DataCloneError');
        expect(result.message).to.include('result of give').and.include('["odd key"][1]');
      });

      it('what was moved before is refused, and the error says so', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const bytes = new Uint8Array(8);
        const { length } = bytes;
        expect(await pool.submit((value: Uint8Array) => value.length, transfer(bytes, [bytes.buffer]))).to.equal(
          length,
        );
        const take = (value: { bytes: Uint8Array }) => value.bytes.length;
        const { message } = await rejectionAs(pool.submit(take, { bytes }), DOMException);
        expect(message).to.include('its .bytes is an object of class Uint8Array whose memory was moved before');
      });

      it('values that harm whoever looks at them are refused, and nothing else suffers', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const take = (value: unknown) => typeof value;
        const revoked = Proxy.revocable({}, {});
        revoked.revoke();
        const revokedFunction = Proxy.revocable(() => 1, {});
        revokedFunction.revoke();
        const endless = (): object => ({
          get deeper() {
            return endless();
          },
        });
        const deep: { next?: object } = {};
        for (let i = 0, at = deep; i < 100_000; i++) at = at.next = {};
        const trapped = new Proxy(
          {},
          {
            get: () => {
              throw new Error('do not look');
            },
            getPrototypeOf: () => {
              throw new Error('do not ask');
            },
          },
        );
        for (const value of [revoked.proxy, revokedFunction.proxy, trapped, endless(), deep]) {
          const error = await rejectionAs(pool.submit(take, value), DOMException);
          expect(error).to.include({ name: 'DataCloneError' });
          expect(error.message).to.match(/^(?:An argument|Argument 1) of take/);
        }
        expect(await settled(pool.submit(take, 1))).to.equal('number');
        await settled(pool.join(), 'join() after arguments that were refused');
      });

      it('a result that harms whoever looks at it is refused, and its worker goes on', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const pid = await settled(
          pool.submit(() => (globalThis as { mark?: number }).mark ?? (Object.assign(globalThis, { mark: 1 }), 0)),
        );
        expect(pid).to.equal(0);
        const revoked = pool.submit(() => {
          const { proxy, revoke } = Proxy.revocable({}, {});
          revoke();
          return proxy;
        });
        expect(instance(await rejectionOf(revoked), Error).name).to.be.oneOf(['DataCloneError', 'TypeError']);
        const endless = pool.submit(() => {
          const make = (): object => ({
            get deeper() {
              return make();
            },
          });
          return make();
        });
        expect(instance(await rejectionOf(endless), Error).name).to.equal('DataCloneError');
        expect(await settled(pool.submit(() => (globalThis as { mark?: number }).mark))).to.equal(1);
      });

      for (const [what, make] of Object.entries(ALMOST_PLAIN)) {
        it(`${what} as a result or an item is refused, and large results after it hold up no task`, async () => {
          const pool = bench.pool({ maxWorkers: 1 });
          const large = async () => {
            expect(await settled(pool.submit((n: number) => 'x'.repeat(n), 100_000))).to.have.lengthOf(100_000);
            expect(await settled(pool.submit(() => 'small'))).to.equal('small');
          };
          const result = await rejectionAs(pool.submit(make), DOMException);
          expect(result.name).to.equal('DataCloneError');
          await large();
          const give = (0, eval)(`(function* () { yield (${make.toString()})(); })`) as () => Generator;
          const item = await rejectionAs(pool.stream(give).next(), DOMException);
          expect(item.name).to.equal('DataCloneError');
          await large();
        });
      }

      for (const [what, makeHarm] of Object.entries(HOSTILE)) {
        it(`a value that throws ${what} when it is read fails its task alone, on both ways and in a stream`, async () => {
          const pool = bench.pool({ maxWorkers: 1 });
          const harm = () => ({
            get apple() {
              throw makeHarm();
            },
          });
          // With all that it needs, because functions travel by their source.
          const make = (0, eval)(
            `() => { const makeHarm = ${makeHarm.toString()}; return (${harm.toString()})(); }`,
          ) as () => object;
          const first = await rejectionAs(
            pool.submit((value: unknown) => typeof value, harm()),
            DOMException,
          );
          expect(first.message).to.match(/^Argument 1 of .* its \.apple is a property that throws/);
          const many = [harm(), 1, harm()].map((value) => pool.submit((given: unknown) => typeof given, value));
          const [one, two, three] = await settled(Promise.allSettled(many));
          expect([one?.status, two, three?.status]).to.deep.equal([
            'rejected',
            { status: 'fulfilled', value: 'number' },
            'rejected',
          ]);
          const result = await rejectionAs(pool.submit(make), DOMException);
          expect(result.message).to.match(/^The result of .* its \.apple is a property that throws/);
          const items = (0, eval)(`(function* () { yield 1; yield (${make.toString()})(); })`) as () => Generator;
          const seen: unknown[] = [];
          const streamed = (async () => {
            for await (const item of pool.stream(items)) seen.push(item);
          })();
          expect((await rejectionAs(streamed, DOMException)).name).to.equal('DataCloneError');
          expect(seen).to.deep.equal([1]);
          expect(await settled(pool.submit(() => 2))).to.equal(2);
          await settled(pool.join(), 'join() after what was refused');
        });

        it(`a result whose transfer handler throws ${what} when it arrives fails its task alone`, async () => {
          const pool = bench.pool({ maxWorkers: 1 });
          await withTraps('deserialize', makeHarm, async () => {
            const sprung = pool.submit(returnTrap, 'throws');
            const others = [1, 2, 3].map((value) => pool.submit((given: number) => given, value));
            await settled(Promise.allSettled([sprung]));
            expect(sprung.outcome()?.status).to.equal('rejected');
            expect(await settled(Promise.all(others))).to.deep.equal([1, 2, 3]);
            await settled(pool.join(), 'join() after what could not be read');
          });
        });
      }

      it('an argument that its transfer handler refuses is refused with its position', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const refusal = new RangeError('no traps today');
        await withTraps(
          'serialize',
          () => refusal,
          async () => {
            const error = await rejectionAs(pool.submit(pair, 1, new Trap('throws')), DOMException);
            expect(error.message).to.equal('Argument 2 of pair cannot be cloned: no traps today');
            expect(error.cause).to.equal(refusal);
          },
        );
      });

      it('sparse arrays of any length cross on both ways', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const sparse: unknown[] = [];
        sparse[2 ** 32 - 2] = { deep: 1 };
        const back = await settled(pool.submit((given: unknown[]) => given, sparse));
        expect(back).to.have.length(2 ** 32 - 1);
        expect(Object.entries(back)).to.deep.equal([[String(2 ** 32 - 2), { deep: 1 }]]);
      });

      for (const [what, prepare] of [
        ['gives call sites', (_error: unknown, sites: unknown) => sites],
        [
          'throws',
          () => {
            throw new Error('no stacks');
          },
        ],
      ] as const) {
        it(`where Error.prepareStackTrace ${what}, tasks fail as elsewhere`, async () => {
          const pool = bench.pool({ maxWorkers: 1 });
          await settled(pool.submit(() => 1));
          const own = Object.getOwnPropertyDescriptor(Error, 'prepareStackTrace');
          Error.prepareStackTrace = prepare as never;
          let outcome: PromiseSettledResult<unknown>[];
          try {
            const failing = pool.submit(() => {
              throw new RangeError('apple');
            });
            const behind = pool.submit(() => 2);
            await Promise.allSettled([failing, behind]);
            outcome = [failing.outcome(), behind.outcome()] as PromiseSettledResult<unknown>[];
          } finally {
            if (own === undefined) Reflect.deleteProperty(Error, 'prepareStackTrace');
            else Object.defineProperty(Error, 'prepareStackTrace', own);
          }
          expect(outcome.map(({ status }) => status)).to.deep.equal(['rejected', 'fulfilled']);
        });
      }

      it('a clock that fakes queueMicrotask holds up no join and no call of a released object', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        class Counter {
          count(): number {
            return 1;
          }
        }
        const counter = await settled(pool.create(Counter));
        const gate = bench.gate();
        const running = pool.submit(passGate, gate.token, 1);
        await gate.arrived();
        const clock = FakeTimers.install({ toFake: ['queueMicrotask'] });
        try {
          const heard: unknown[] = [];
          const waiting = pool.submit(() => 2);
          expect(waiting.cancel()).to.equal(true);
          waiting.addDoneCallback((future) => heard.push(future));
          gate.open();
          await settled(pool.join(), 'join()');
          expect(heard).to.deep.equal([waiting]);
          counter.release();
          await rejectionOf(counter.count());
        } finally {
          clock.uninstall();
        }
        expect(await settled(running)).to.equal(1);
      });

      it('with a polluted Object.prototype values and errors arrive as without', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const names = ['code', 'cause', 'handler', 'transfer', 'port', 'reason', 'whole', 'kind', 'timeout'];
        const pollute = (keys: string[]) => {
          for (const key of keys) {
            Object.defineProperty(Object.prototype, key, { value: 'polluted', configurable: true, writable: true });
          }
        };
        await settled(pool.submit(pollute, names));
        pollute(names);
        try {
          expect(await settled(pool.submit((given: object) => given, { a: 1 }))).to.deep.equal({ a: 1 });
          const error = await rejectionAs(
            pool.submit(() => {
              throw new RangeError('from among the polluted');
            }),
            RangeError,
          );
          expect(Object.getOwnPropertyNames(error)).to.have.members(['stack', 'message']);
          expect(
            await settled(
              pool.submit(
                async (f: (x: number) => Promise<number> | number) => await f(2),
                proxy((x: number) => x + 1),
              ),
            ),
          ).to.equal(3);
          expect(await settled(pool.submit((signal: AbortSignal) => signal.aborted, AbortSignal.abort()))).to.equal(
            true,
          );
        } finally {
          for (const key of names) Reflect.deleteProperty(Object.prototype, key);
        }
      });

      if (capabilities.sharedMemory) {
        it('a SharedArrayBuffer is shared, also deep in a value', async () => {
          const words = new Int32Array(new SharedArrayBuffer(4));
          await settled(
            bench.pool().submit((given: { words: Int32Array }) => Atomics.store(given.words, 0, 5), { words }),
          );
          expect(words[0]).to.equal(5);
        });
      }
    });

    describe('handled', () => {
      it('a handler in transferHandlers serves arguments at every position, and results', async () => {
        const pool = bench.pool({ initializer: learnValues });
        const sum = await settled(pool.submit(warmer, new Celsius(20), new Celsius(1.5)));
        expect(instance(sum, Celsius).degrees).to.equal(21.5);
      });

      it('a handler that the task’s own module adds serves its first arguments, without an initializer', async () => {
        const sum = await settled(bench.pool({ maxWorkers: 1 }).submit(warmer, new Celsius(20), new Celsius(1.5)));
        expect(instance(sum, Celsius).degrees).to.equal(21.5);
      });

      it('a handler that the worker does not have fails that one task, with the name of the handler', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const future = pool.submit((given: unknown) => typeof given, new Celsius(20));
        const error = await rejectionAs(future, TypeError);
        expect(error.message).to.include("'celsius'").and.include('transferHandlers');
        expect(await settled(pool.submit(() => 1))).to.equal(1);
      });

      it('results of any kind and size arrive as structured cloning makes them', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const make = (which: number): unknown => {
          class Own {
            readonly own = [1];
          }
          const cyclic: Record<string, unknown> = { name: 'cyclic' };
          cyclic['self'] = cyclic;
          const sparse: unknown[] = [];
          sparse[3] = 'three';
          return [
            '',
            'text',
            '\ud800 alone',
            'ä'.repeat(511),
            'x'.repeat(1023),
            'x'.repeat(1024),
            'x'.repeat(100_000),
            0n,
            -(2n ** 4000n),
            2n ** 20_000n,
            {},
            { a: [1, 'two', null, undefined, -0, NaN] },
            cyclic,
            sparse,
            new Own(),
            new Map([[{ key: 1 }, new Set([1, 'two'])]]),
            new Date(0),
            /x+/gi,
            new Number(-0),
            new Uint8Array([1, 2, 3]),
            { nested: [new Float64Array([0.5]), new DataView(new ArrayBuffer(2)), new Uint8Array(4).buffer] },
            Buffer.from('bytes'),
            Array.from({ length: 1000 }, (_, i) => ({ i })),
          ][which];
        };
        for (let which = 0; which < 23; which++) {
          const expected: unknown = structuredClone(make(which));
          // The same again and again: what is too large for one way is not tried there each time.
          for (let again = 0; again < 3; again++) {
            const result = await settled(pool.submit(make, which));
            expect(inspect(result, { depth: 9 }), `value ${String(which)}`).to.equal(inspect(expected, { depth: 9 }));
          }
        }
      });

      it('URL, Headers and Blob arrive as what they are', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const url = await settled(
          pool.submit((given: URL) => new URL('../other?x=1', given), new URL('http://example.org/a/b')),
        );
        expect(instance(url, URL).href).to.equal('http://example.org/other?x=1');
        const headers = await settled(
          pool.submit(
            (given: Headers) => {
              given.append('set-cookie', 'c=3');
              return given;
            },
            new Headers([
              ['Set-Cookie', 'a=1'],
              ['Set-Cookie', 'b=2'],
              ['X-Cheese', 'brie'],
            ]),
          ),
        );
        expect(instance(headers, Headers).getSetCookie()).to.deep.equal(['a=1', 'b=2', 'c=3']);
        expect(headers.get('x-cheese')).to.equal('brie');
        if (capabilities.ownProcess) {
          const sent = await rejectionAs(
            pool.submit((given: Blob) => given.size, new Blob(['apple'])),
            DOMException,
          );
          expect(sent.message).to.match(/^Argument 1 of .* cannot be cloned: .*Blob/);
          const returned = await rejectionAs(
            pool.submit(() => ({ a: [new Blob(['apple'])] })),
            DOMException,
          );
          expect(returned.message).to.match(/^The result of .* cannot be cloned: .*a\[0\].*Blob/);
          return;
        }
        const nested = await settled(pool.submit(() => ({ a: [new Blob(['apple'])] })));
        expect(instance(nested.a[0], Blob).size).to.equal(5);
        const blob = await settled(
          pool.submit(
            async (given: Blob) => new Blob([await given.text(), '!'], { type: given.type }),
            new Blob(['brie'], { type: 'text/plain' }),
          ),
        );
        expect(await settled(instance(blob, Blob).text())).to.equal('brie!');
        expect(blob.type).to.equal('text/plain');
      });

      it('a Request arrives with its method, headers, body and signal', async () => {
        const controller = new AbortController();
        const request = new Request('http://example.org/cheese', {
          method: 'POST',
          headers: { 'x-cheese': 'brie' },
          body: 'one piece',
          signal: controller.signal,
        });
        const future = bench.pool().submit(async (given: Request) => {
          const body = await given.text();
          if (!given.signal.aborted) {
            await new Promise((resolve) => {
              given.signal.addEventListener('abort', resolve);
            });
          }
          return [given.method, given.url, given.headers.get('x-cheese'), body, given.signal.reason as unknown];
        }, request);
        controller.abort('enough');
        expect(await settled(future)).to.deep.equal([
          'POST',
          'http://example.org/cheese',
          'brie',
          'one piece',
          'enough',
        ]);
      });

      it('a Response comes with status, headers, url and a body of 5 MB', async () => {
        const response = await settled(
          bench
            .pool()
            .submit(
              (size: number) =>
                new Response(new Uint8Array(size).fill(65), { status: 201, headers: { 'x-cheese': 'brie' } }),
              5_000_000,
            ),
        );
        expect(instance(response, Response)).to.include({ status: 201, url: '' });
        expect(response.headers.get('x-cheese')).to.equal('brie');
        expect((await settled(response.arrayBuffer())).byteLength).to.equal(5_000_000);
      });

      it('responses without a body, and the one of an error, arrive', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const empty = await settled(pool.submit(() => new Response(null, { status: 204 })));
        expect(empty).to.include({ status: 204, body: null });
        const error = await settled(pool.submit(() => Response.error()));
        expect(error).to.include({ status: 0, type: 'error' });
      });

      it('a ReadableStream, a WritableStream and a TransformStream are moved', async () => {
        const pool = bench.pool();
        const readable = await settled(
          pool.submit(
            (given: ReadableStream<string>) => given,
            new ReadableStream<string>({
              start(controller) {
                for (const item of ['a', 'b', 'c']) controller.enqueue(item);
                controller.close();
              },
            }),
          ),
        );
        const items: string[] = [];
        for await (const item of readable) items.push(item);
        expect(items).to.deep.equal(['a', 'b', 'c']);
        const written: string[] = [];
        let writable!: WritableStream<string>;
        // The writer is told that the stream is closed when that is on its way: what was written may still be under way too.
        const closed = new Promise<void>((resolve) => {
          writable = new WritableStream<string>({
            write: (chunk) => {
              written.push(chunk);
            },
            close: resolve,
          });
        });
        const write = async (given: WritableStream<string>) => {
          const writer = given.getWriter();
          for (const item of ['d', 'e']) await writer.write(item);
          await writer.close();
        };
        await settled(pool.submit(write, writable));
        await settled(closed);
        expect(written).to.deep.equal(['d', 'e']);
        const transform = await settled(
          pool.submit(
            () =>
              new TransformStream<string, string>({
                transform: (chunk, controller) => {
                  controller.enqueue(chunk.toUpperCase());
                },
              }),
          ),
        );
        const writer = transform.writable.getWriter();
        void writer.write('loud').then(() => writer.close());
        for await (const item of transform.readable) expect(item).to.equal('LOUD');
      });

      it('web streams carry null and undefined as well, in all directions', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const expected = [1, null, undefined, 2];
        expect(await settled(pool.submit(readAll, streamOf(expected)))).to.deep.equal(expected);
        expect(await settled(readAll(await settled(pool.submit(streamOf, expected))))).to.deep.equal(expected);
        const write = async (given: WritableStream<unknown>, items: unknown[]) => {
          const writer = given.getWriter();
          for (const item of items) await writer.write(item);
          await writer.close();
        };
        const written: unknown[] = [];
        const writable = new WritableStream({
          write: (item) => {
            written.push(item);
          },
        });
        await settled(pool.submit(write, writable, expected));
        await eventually(() => written.length === expected.length, 'what was written');
        expect(written).to.deep.equal(expected);
      });

      it('a web stream fails with the reason that it was failed with, whatever that is, after what came before', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const failing = (reason: unknown) => {
          let items = 3;
          return new ReadableStream<number>({
            pull: (controller) => {
              if (items-- > 0) controller.enqueue(items);
              else controller.error(reason);
            },
          });
        };
        const read = async (given: ReadableStream<number>) => {
          const items: number[] = [];
          try {
            for await (const item of given) items.push(item);
          } catch (reason) {
            return [items, reason];
          }
          return [items];
        };
        for (const reason of [undefined, null, 'mouldy', new RangeError('mouldy')]) {
          const expected = [[2, 1, 0], reason];
          const given = await settled(pool.submit(failing, reason));
          // All of it has come before any of it is read, or some.
          if (reason !== undefined) await turns();
          for (const outcome of [await settled(pool.submit(read, failing(reason))), await settled(read(given))]) {
            expect(String(outcome[1])).to.equal(String(reason));
            expect(outcome[0]).to.deep.equal(expected[0]);
          }
        }
      });

      it('the end of a reader or a writer reaches a web stream with its reason', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const cancelled = new Promise((resolve) => {
          const stream = new ReadableStream<number>({
            pull: (controller) => {
              controller.enqueue(1);
            },
            cancel: resolve,
          });
          void pool.submit((given: ReadableStream<number>) => given.cancel('enough'), stream);
        });
        expect(await settled(cancelled)).to.equal('enough');
        const aborted = new Promise((resolve) => {
          const stream = new WritableStream({ abort: resolve });
          void pool.submit((given: WritableStream) => given.abort(new RangeError('enough')), stream);
        });
        expect(instance(await settled(aborted), RangeError).message).to.equal('enough');
      });

      it('a web stream is sent no faster than it is read or written', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        let pulled = 0;
        const stream = new ReadableStream<number>({
          pull: (controller) => {
            controller.enqueue(pulled++);
          },
        });
        const readSome = async (given: ReadableStream<number>) => {
          const reader = given.getReader();
          let sum = 0;
          for (let i = 0; i < 100; i++) sum += (await reader.read()).value ?? 0;
          await reader.cancel();
          return sum;
        };
        expect(await settled(pool.submit(readSome, stream))).to.equal(4950);
        expect(pulled).to.be.below(150);
      });

      it('web streams and responses go through callbacks, as arguments and as results', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const giveTo = (callback: (given: ReadableStream<unknown>) => unknown) =>
          callback(
            new ReadableStream({
              start: (controller) => {
                controller.enqueue(1);
                controller.enqueue(null);
                controller.close();
              },
            }),
          );
        expect(await settled(pool.submit(giveTo, proxy(readAll)))).to.deep.equal([1, null]);
        const takeFrom = async (callback: () => unknown) => {
          const items: unknown[] = [];
          for await (const item of (await callback()) as ReadableStream<unknown>) items.push(item);
          return items;
        };
        const give = proxy(() => streamOf(['a', 'b']));
        expect(await settled(pool.submit(takeFrom, give))).to.deep.equal(['a', 'b']);
        const written: unknown[] = [];
        const sink = proxy(
          () =>
            new WritableStream({
              write: (item) => {
                written.push(item);
              },
            }),
        );
        const writeTo = async (callback: () => unknown) => {
          const writer = ((await callback()) as WritableStream<number>).getWriter();
          await writer.write(1);
          await writer.close();
        };
        await settled(pool.submit(writeTo, sink));
        await eventually(() => written.length === 1, 'what was written');
        const respond = (callback: (response: Response) => unknown) => callback(new Response('brie'));
        const text = proxy((response: Response) => response.text());
        expect(await settled(pool.submit(respond, text))).to.equal('brie');
      });

      it('a web stream goes by a MessagePort of the user', async () => {
        const { port1, port2 } = new MessageChannel();
        try {
          const future = bench.pool().submit(async (port: InstanceType<typeof MessagePort>) => {
            const items: unknown[] = [];
            const stream = await new Promise<ReadableStream<unknown>>((resolve) => {
              port.once('message', resolve);
            });
            for await (const item of stream) items.push(item);
            port.close();
            return items;
          }, port2);
          const stream = new ReadableStream({
            start: (controller) => {
              controller.enqueue('brie');
              controller.close();
            },
          });
          port1.postMessage(stream, [stream as never]);
          expect(await settled(future)).to.deep.equal(['brie']);
        } finally {
          port1.close();
        }
      });

      it('a stream that is locked is refused', async () => {
        const stream = new ReadableStream();
        stream.getReader();
        const future = bench.pool().submit((given: ReadableStream) => typeof given, stream);
        expect((await rejectionAs(future, DOMException)).name).to.equal('DataCloneError');
      });

      it('a task that is refused leaves here, and untouched, what was to be moved', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const stream = new ReadableStream<string>({
          start: (controller) => {
            controller.enqueue('brie');
            controller.close();
          },
        });
        const { port1, port2 } = new MessageChannel();
        try {
          const read = async (given: ReadableStream<string>, port: Port, ...others: unknown[]) => {
            const heard = await new Promise<unknown>((resolve) => {
              port.once('message', resolve);
            });
            port.close();
            for await (const item of given) return [item, heard, others.length];
            return [];
          };
          for (let i = 0; i < 2; i++) {
            await rejectionAs(
              pool.submit(read, stream, port2, () => 1),
              DOMException,
            );
            expect(stream.locked).to.equal(false);
          }
          port1.postMessage('gouda');
          expect(await settled(pool.submit(read, stream, port2, 1))).to.deep.equal(['brie', 'gouda', 1]);
        } finally {
          port1.close();
        }
      });

      it('what a task that is refused would have been lent is let go', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const never = (given: unknown, other: unknown) => typeof given + typeof other;
        const { signal } = new AbortController();
        await rejectionAs(
          pool.submit(never, signal, () => 1),
          DOMException,
        );
        await eventually(() => getEventListeners(signal, 'abort').length === 0, 'the end of listening to the signal');
        const refuse = async (): Promise<WeakRef<object>> => {
          const callback = () => 1;
          await rejectionAs(
            pool.submit(never, proxy(callback), () => 1),
            DOMException,
          );
          return new WeakRef(callback);
        };
        const callbacks = [await refuse(), await refuse(), await refuse()];
        await settled(pool.submit(() => 1));
        expect(await survivors(callbacks)).to.be.lessThan(2);
      });

      it('a MessagePort is moved without being listed', async () => {
        const { port1, port2 } = new MessageChannel();
        try {
          const answer = once(port1, 'message');
          const future = bench.pool().submit(
            (port: InstanceType<typeof MessagePort>, text: string) => {
              port.postMessage(text);
            },
            port2,
            'hello',
          );
          await settled(future);
          expect(((await settled(answer)) as string[])[0]).to.equal('hello');
        } finally {
          port1.close();
        }
      });

      it('what is moved may stand in a map, a set, an array or an instance of a class', async () => {
        class Holder {
          readonly held: unknown;
          constructor(held: unknown) {
            this.held = held;
          }
        }
        const pool = bench.pool({ maxWorkers: 1 });
        const holders: Record<string, (port: unknown) => object> = {
          'a map': (port) => new Map<unknown, unknown>([['before', 1]]).set('port', port).set('after', new Date(0)),
          'the key of a map': (port) => new Map([[port, 1]]),
          'a set': (port) => new Set([1, port, 2]),
          'an array': (port) => [[port]],
          'an instance': (port) => new Holder(port),
          'an instance in a map in an instance': (port) => new Holder(new Map([[1, new Holder(port)]])),
          'an instance with a circle': (port) => {
            const holder = new Holder([port]);
            return Object.assign(holder, { self: holder });
          },
        };
        const say = (value: unknown) => {
          const seen = new Set<unknown>();
          const find = (part: unknown): InstanceType<typeof MessagePort> | undefined => {
            if (part instanceof MessagePort) return part;
            if (typeof part !== 'object' || part === null || seen.has(part)) return undefined;
            seen.add(part);
            const parts =
              part instanceof Map
                ? [...(part as Map<unknown, unknown>)].flat()
                : part instanceof Set
                  ? [...(part as Set<unknown>)]
                  : Object.values(part);
            for (const each of parts) {
              const found = find(each);
              if (found !== undefined) return found;
            }
            return undefined;
          };
          find(value)?.postMessage('here');
          return value instanceof Map ? [...value.keys()].length : value instanceof Set ? value.size : 0;
        };
        for (const [what, hold] of Object.entries(holders)) {
          const { port1, port2 } = new MessageChannel();
          try {
            const message = once(port1, 'message');
            const value = hold(port2);
            const size = await settled(pool.submit(say, transfer(value, [port2])));
            expect(size, what).to.equal(value instanceof Map || value instanceof Set ? value.size : 0);
            expect(((await settled(message, `the message from ${what}`)) as unknown[])[0]).to.equal('here');
          } finally {
            port1.close();
          }
        }
      });

      it('transfer() moves to the worker and back', async () => {
        const pool = bench.pool();
        const bytes = new Uint8Array(8).fill(1);
        const sum = pool.submit(
          (x: number, given: Uint8Array) => given.reduce((a, b) => a + b, x),
          1,
          transfer(bytes, [bytes.buffer]),
        );
        expect(await settled(sum)).to.equal(9);
        expect(bytes.length).to.equal(0);
        const moved = (await settled(pool.submit(moveBuffer, 1000))) as Uint8Array;
        expect(moved.length).to.equal(1000);
        expect(moved[999]).to.equal(7);
      });

      it('transfer() of what is gone already is refused', async () => {
        const bytes = new Uint8Array(8);
        structuredClone(bytes, { transfer: [bytes.buffer] });
        const future = bench.pool().submit((given: Uint8Array) => given.length, transfer(bytes, [bytes.buffer]));
        expect((await rejectionAs(future, DOMException)).name).to.equal('DataCloneError');
      });
    });

    describe('signals', () => {
      it('an AbortSignal is live in the worker, at every position', async () => {
        const gate = bench.gate();
        const controller = new AbortController();
        const future = bench.pool().submit(
          async (count: number, signal: AbortSignal, open: Parameters<typeof passGate>[0]) => {
            if (typeof open !== 'string') {
              Atomics.store(open, 1, 1);
              Atomics.notify(open, 1);
            } else process.getBuiltinModule('node:fs').writeFileSync(`${open}/arrived`, '.');
            await new Promise((resolve) => {
              signal.addEventListener('abort', resolve);
            });
            return [count, signal.reason as unknown];
          },
          1,
          controller.signal,
          gate.token,
        );
        await gate.arrived();
        controller.abort({ by: 'cat' });
        expect(await settled(future)).to.deep.equal([1, { by: 'cat' }]);
      });

      it('an AbortSignal that is already aborted, and one aborted on its way, arrive so', async () => {
        const pool = bench.pool({ maxWorkers: 1, initializer: learnValues });
        const open = bench.gate();
        open.open();
        const error = Object.assign(new MouseError('enough'), { holes: 4 });
        expect(await settled(pool.submit(whyAborted, AbortSignal.abort(error), open.token))).to.deep.equal([
          'MouseError',
          4,
        ]);
        const gate = bench.gate();
        const blocker = pool.submit(passGate, gate.token);
        const controller = new AbortController();
        const future = pool.submit(whyAborted, controller.signal, open.token);
        await gate.arrived();
        controller.abort(error);
        gate.open();
        expect(await settled(future)).to.deep.equal(['MouseError', 4]);
        await settled(blocker);
      });

      it('AbortSignal.any, AbortSignal.timeout and a plain abort() give their reasons', async () => {
        const pool = bench.pool();
        const open = bench.gate();
        open.open();
        const controller = new AbortController();
        const any = pool.submit(
          whyAborted,
          AbortSignal.any([new AbortController().signal, controller.signal]),
          open.token,
        );
        controller.abort();
        expect((await settled(any))[0]).to.equal('AbortError');
        const [reason] = await settled(pool.submit(whyAborted, AbortSignal.timeout(1), open.token));
        expect(reason).to.equal('TimeoutError');
      });

      it('1,000 signals, and one signal given to 1,000 tasks, are live', async () => {
        const pool = bench.pool({ maxWorkers: 2, concurrentTasksPerWorker: 1000 });
        const gate = bench.gate();
        const warnings = await warningsDuring(async () => {
          const controllers = Array.from({ length: 1000 }, () => new AbortController());
          const one = new AbortController();
          const many = controllers.map(({ signal }) => pool.submit(whyAborted, signal, gate.token));
          const same = controllers.map(() => pool.submit(whyAborted, one.signal, gate.token));
          await gate.arrived(2000);
          gate.open();
          controllers.forEach((controller, i) => {
            controller.abort({ i });
          });
          one.abort({ i: -1 });
          const reasons = await settled(Promise.all([...many, ...same]));
          reasons.forEach(([, reason], i) => {
            expect(reason).to.deep.equal({ i: i < 1000 ? i : -1 });
          });
        });
        expect(warnings).to.deep.equal([]);
      });

      it('a signal as a result is live, until its worker ends', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const signal = await settled(
          pool.submit(() => {
            const controller = new AbortController();
            Object.assign(globalThis, { controller });
            return controller.signal;
          }),
        );
        expect(instance(signal, AbortSignal).aborted).to.equal(false);
        const aborted = once(signal, 'abort');
        await settled(
          pool.submit(() => {
            (globalThis as unknown as { controller: AbortController }).controller.abort('by the worker');
          }),
        );
        await settled(aborted);
        expect(signal.reason).to.equal('by the worker');
      });
    });

    describe('proxies', () => {
      it('a callback hears of the progress, at every position, in order', async () => {
        const heard: unknown[] = [];
        const work = async (steps: number, report: (step: number) => unknown, done: (text: string) => unknown) => {
          for (let i = 0; i < steps; i++) await report(i);
          await done('done');
          return steps;
        };
        const note = (what: unknown) => heard.push(what);
        expect(
          await settled(
            bench.pool().submit(
              work,
              5,
              proxy(note),
              proxy((text: string) => note(text)),
            ),
          ),
        ).to.equal(5);
        expect(heard).to.deep.equal([0, 1, 2, 3, 4, 'done']);
      });

      it('calls that the task did not wait for are heard, too', async () => {
        const heard: number[] = [];
        const work = (report: (step: number) => unknown) => {
          for (let i = 0; i < 100; i++) void report(i);
        };
        await settled(
          bench.pool().submit(
            work,
            proxy((step: number) => heard.push(step)),
          ),
        );
        await eventually(() => heard.length === 100, 'the calls that nobody waited for');
        expect(heard).to.deep.equal(Array.from({ length: 100 }, (_, i) => i));
      });

      it('an object by reference has methods and properties', async () => {
        const shop = {
          cheese: 'brie',
          sold: 0,
          sell(count: number) {
            return (this.sold += count);
          },
        };
        const buy = async (given: { cheese: PromiseLike<string>; sell(count: number): PromiseLike<number> }) => [
          await given.cheese,
          await given.sell(2),
          await given.sell(3),
        ];
        expect(await settled(bench.pool().submit(buy, proxy(shop) as never))).to.deep.equal(['brie', 2, 5]);
        expect(shop.sold).to.equal(5);
      });

      it('a proxy as a result is called in its worker', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const double = await settled(pool.submit(makeCallback));
        expect(await settled(Promise.resolve(double(21)))).to.equal(42);
      });

      it('proxies nest: they are taken and given by the calls on proxies', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const nest = await settled(pool.submit(makeNested));
        const addTwo = await settled(Promise.resolve(nest.adder(2)));
        expect(await settled(Promise.resolve(addTwo(3)))).to.equal(5);
        const thrice = proxy((x: number) => x * 3);
        expect(await settled(Promise.resolve(nest.apply(thrice, 5)))).to.equal(15);
        const error = await rejectionAs(
          Promise.resolve().then(() => nest.fail()),
          MouseError,
        );
        expect(error.message).to.equal('from the nest');
      });

      it('a proxy that a task was given cannot be sent on, which harms nobody', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const future = pool.submit(
          (given: () => number) => given,
          proxy(() => 1),
        );
        expect((await rejectionAs(future, DOMException)).name).to.equal('DataCloneError');
        expect(await settled(pool.submit(() => 1))).to.equal(1);
      });

      it('what a call cannot send, or cannot give back, rejects that call with what and where', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const nest = await settled(pool.submit(makeNested));
        const sent = await rejectionAs(
          Promise.resolve().then(() => nest.apply({ callback: () => 1 } as never, 5)),
          DOMException,
        );
        expect(sent.name).to.equal('DataCloneError');
        expect(sent.message).to.include('.callback').and.include('rgument 1');
        const given = await rejectionAs(
          Promise.resolve().then(() => nest.give()),
          DOMException,
        );
        expect(given.name).to.equal('DataCloneError');
        expect(given.message).to.include('a function');
        const add = await settled(
          Promise.resolve(
            nest.apply(
              proxy((x: number) => x + 1),
              1,
            ),
          ),
        );
        expect(add).to.equal(2);
      });

      it('an argument that does harm on its arrival rejects that one call', async () => {
        const pool = bench.pool({ maxWorkers: 1, initializer: learnTraps });
        const nest = await settled(pool.submit(makeNested));
        const error = await rejectionAs(
          Promise.resolve().then(() => nest.apply(new Trap('throws') as never, 5)),
          Error,
        );
        expect(error.message).to.include('the trap snapped');
        expect(
          await settled(
            Promise.resolve(
              nest.apply(
                proxy((x: number) => x),
                4,
              ),
            ),
          ),
        ).to.equal(4);
      });

      it('a value too deep to be read on its arrival rejects the call, in both directions', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const callDeep = async (callback: (value: unknown) => unknown, depth: number) => {
          let deep: object = {};
          for (let i = 0; i < depth; i++) deep = { deep };
          try {
            await callback(deep);
            return 'it went through';
          } catch (error) {
            return (error as Error).name;
          }
        };
        for (const depth of [2000, 5000, 10_000, 20_000]) {
          const heard = await settled(
            pool.submit(
              callDeep,
              proxy(() => undefined),
              depth,
            ),
            `depth ${String(depth)}`,
          );
          expect(heard).to.be.oneOf(['it went through', 'DataCloneError', 'RangeError']);
        }
        expect(await settled(pool.submit(() => 1))).to.equal(1);
      });

      it('a result too deep to be read on its arrival fails its task, and others go on', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        for (const depth of [2000, 5000, 10_000, 20_000]) {
          const future = pool.submit((levels: number) => {
            let deep: object = {};
            for (let i = 0; i < levels; i++) deep = { deep };
            return deep;
          }, depth);
          await settled(Promise.allSettled([future]), `depth ${String(depth)}`);
        }
        expect(await settled(pool.submit(() => 1))).to.equal(1);
      });

      it('a call in flight when the worker dies rejects, and so does one after that', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const deadly = await settled(pool.submit(makeDeadlyCallback));
        await rejectionAs(Promise.resolve(deadly(3)), WorkerDiedError);
        await rejectionAs(Promise.resolve(deadly(3)), WorkerDiedError);
        expect(await settled(pool.submit(() => 1))).to.equal(1);
      });

      it('a proxy released twice, or called after that, gives an error and never hangs', async () => {
        const { releaseProxy } = (await import('comlink')) as unknown as { releaseProxy: symbol };
        const pool = bench.pool({ maxWorkers: 1 });
        const double = await settled(pool.submit(makeCallback));
        const release = (double as unknown as Record<symbol, () => void>)[releaseProxy] as () => void;
        const inFlight = rejectionOf(Promise.resolve().then(() => double(1)));
        await Promise.resolve();
        release();
        release();
        instance(await settled(inFlight), Error);
        await rejectionAs(
          Promise.resolve().then(() => double(1)),
          Error,
        );
      });

      it('a callback that was kept beyond its task gives an error when it is called', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        await settled(
          pool.submit(
            (callback: () => number) => {
              Object.assign(globalThis, { callback });
            },
            proxy(() => 1),
          ),
        );
        const late = pool.submit(() => (globalThis as unknown as { callback: () => number }).callback());
        await rejectionAs(late, Error);
      });

      it('a callback that a timer goes on calling beyond its task harms neither the worker nor other tasks', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const start = (callback: () => number) => {
          setInterval(() => callback(), 1);
        };
        await settled(
          pool.submit(
            start,
            proxy(() => 1),
          ),
        );
        const wait = async () => {
          for (let i = 0; i < 20; i++) await new Promise((resolve) => setTimeout(resolve, 1));
          return 'well';
        };
        expect(await settled(pool.submit(wait))).to.equal('well');
      });

      it('looking at a proxy from all sides harms nobody', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const double = await settled(pool.submit(makeCallback));
        const { inspect } = await import('node:util');
        expect(inspect(double)).to.be.a('string');
        expect(inspect({ deep: [double] })).to.be.a('string');
        expect(Object.prototype.toString.call(double)).to.equal('[object Function]');
        expect(await settled(Promise.resolve(double(1)))).to.equal(2);
      });

      it('an error that a callback throws reaches the task whole', async () => {
        const callback = proxy(() => {
          throw undefined;
        });
        const pool = bench.pool({ maxWorkers: 1 });
        const catching = async (given: () => unknown) => {
          try {
            await given();
          } catch (error) {
            return ['caught', error];
          }
          return ['nothing'];
        };
        expect(await settled(pool.submit(catching, callback))).to.deep.equal(['caught', undefined]);
        const { isMouseError } = (await settled(
          pool.submit(
            catchFrom,
            proxy(() => Promise.reject(new MouseError('later'))),
          ),
        )) as { isMouseError: boolean };
        expect(isMouseError).to.equal(true);
      });
    });

    describe('streams of Node', () => {
      it('a Readable arrives in the worker, and one comes back', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const read = async (given: Readable) => {
          const chunks: Uint8Array[] = [];
          for await (const chunk of given) chunks.push(chunk as Uint8Array);
          return Buffer.concat(chunks).toString();
        };
        expect(
          await settled(pool.submit(read, Readable.from(['brie', ' and ', 'gouda'], { objectMode: false }))),
        ).to.equal('brie and gouda');
        const back = await settled(pool.submit(readableOf, ['cheddar', '!'], false));
        expect(await settled(text(instance(back, Readable)))).to.equal('cheddar!');
      });

      it('a stream of objects keeps its objects', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const items = [{ a: 1 }, 'text', 7, new Uint8Array([1]), { deep: [1] }];
        const read = async (given: Readable) => {
          const chunks: unknown[] = [];
          for await (const chunk of given) chunks.push(chunk);
          return chunks;
        };
        expect(await settled(pool.submit(read, Readable.from(items)))).to.deep.equal(items);
        const many = Array.from({ length: 5000 }, (_, i) => ({ i }));
        const back = await settled(pool.submit(readableOf, many, true));
        expect(await settled(back.toArray())).to.deep.equal(many);
      });

      it('a Writable of objects takes objects', async () => {
        const items = [{ a: 1 }, 'text', 7, { deep: [1] }];
        const written: unknown[] = [];
        const sink = new Writable({
          objectMode: true,
          write: (item, _encoding, done) => {
            written.push(item);
            done();
          },
        });
        const write = async (given: Writable, chunks: unknown[]) => {
          const { pipeline: pipe } = await import('node:stream/promises');
          await pipe(chunks, given);
        };
        await settled(bench.pool().submit(write, sink, items));
        expect(written).to.deep.equal(items);
      });

      it('a Transform of bytes into objects has a mode for each half: an object is refused where it is written', async () => {
        const measure = () =>
          new Transform({
            readableObjectMode: true,
            transform: (chunk: Uint8Array, _encoding, done) => {
              done(null, { length: chunk.length });
            },
          });
        const run = async (given: Transform, chunk: unknown) => {
          given.end(chunk);
          const items: unknown[] = [];
          for await (const item of given) items.push(item);
          return items;
        };
        const pool = bench.pool({ maxWorkers: 1 });
        expect(await settled(pool.submit(run, measure(), 'brie'))).to.deep.equal([{ length: 4 }]);
        const refused = await rejectionAs(pool.submit(run, measure(), { a: 1 }), TypeError);
        expect(refused).to.have.property('code', 'ERR_INVALID_ARG_TYPE');
        expect(await settled(pool.submit(run, measure(), 'gouda'))).to.deep.equal([{ length: 5 }]);
      });

      it('a stream of small chunks is not read ahead of its reader by more than some thousand', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        let chunks = 0;
        const source = new Readable({
          read() {
            chunks++;
            this.push('a');
          },
        });
        const first = async (given: Readable) => {
          const step = await given[Symbol.asyncIterator]().next();
          return (step.value as Uint8Array).length;
        };
        expect(await pool.submit(first, source)).to.be.above(0);
        // Node's own buffers, of 16 KiB each, come on top.
        expect(chunks).to.be.below(40_000);
        source.destroy();
      });

      it('a stream of 30 MB is not read ahead of its reader by more than a window', async () => {
        let produced = 0;
        const chunk = new Uint8Array(64 * 1024);
        const source = new Readable({
          read() {
            produced += chunk.length;
            this.push(produced > 30_000_000 ? null : chunk);
          },
        });
        const gate = bench.gate();
        const read = async (given: Readable, token: Parameters<typeof passGate>[0]) => {
          let total = 0;
          const iterator = given[Symbol.asyncIterator]();
          const first = await iterator.next();
          total += (first.value as Uint8Array).length;
          if (typeof token === 'string') process.getBuiltinModule('node:fs').writeFileSync(`${token}/arrived`, '.');
          else {
            Atomics.store(token, 1, 1);
            Atomics.notify(token, 1);
            await (Atomics as unknown as { waitAsync: (...args: unknown[]) => { value: unknown } }).waitAsync(
              token,
              0,
              0,
            ).value;
          }
          for (;;) {
            const step = await iterator.next();
            if (step.done === true) return total;
            total += (step.value as Uint8Array).length;
          }
        };
        const future = bench.pool({ maxWorkers: 1 }).submit(read, source, gate.token);
        await gate.arrived();
        for (let i = 0; i < 20; i++) {
          await new Promise((resolve) => {
            setImmediate(resolve);
          });
        }
        expect(produced).to.be.below(2_000_000);
        gate.open();
        expect(await settled(future)).to.be.above(29_000_000);
      });

      it('a Writable takes all that the worker writes, and its end waits until it is written', async () => {
        const written: Buffer[] = [];
        let flushed = false;
        const sink = new Writable({
          highWaterMark: 1024,
          write(chunk: Buffer, _encoding, done) {
            written.push(chunk);
            setImmediate(done);
          },
          final(done) {
            setImmediate(() => {
              flushed = true;
              done();
            });
          },
        });
        const write = async (given: Writable, count: number) => {
          const { pipeline: pipe } = await import('node:stream/promises');
          const chunks = Array.from({ length: count }, (_, i) => Buffer.alloc(10_000, i % 256));
          await pipe(chunks, given);
          return 'written';
        };
        expect(await settled(bench.pool().submit(write, sink, 200))).to.equal('written');
        expect(flushed).to.equal(true);
        expect(Buffer.concat(written)).to.have.length(2_000_000);
      });

      it('text is written in the encoding that the writer names', async () => {
        let all = '';
        const sink = new Writable({
          write: (chunk, _encoding, done) => {
            all += String(chunk);
            done();
          },
        });
        const finished = once(sink, 'finish');
        const write = (given: Writable) => {
          given.write('6272', 'hex');
          given.end('aWU=', 'base64');
        };
        await settled(bench.pool().submit(write, sink));
        await settled(finished);
        expect(all).to.equal('brie');
      });

      it('a Readable with an encoding gives text', async () => {
        const source = Readable.from(['käse'], { objectMode: false }).setEncoding('utf8');
        const read = async (given: Readable) => {
          const chunks: unknown[] = [];
          for await (const chunk of given) chunks.push(chunk);
          return chunks;
        };
        expect(await settled(bench.pool().submit(read, source))).to.deep.equal(['käse']);
      });

      it('the error of a stream arrives whole at its place, in both directions', async () => {
        const pool = bench.pool({ maxWorkers: 1, initializer: learnValues });
        const stream = await settled(pool.submit(failingReadable));
        const chunks: string[] = [];
        const reading = (async () => {
          for await (const chunk of stream) chunks.push(String(chunk));
        })();
        const error = await rejectionAs(reading, MouseError);
        expect(error).to.include({ message: 'in the stream', code: 'E_SQUEAK' });
        expect(chunks).to.deep.equal(['first']);
        const sink = new Writable({
          write: (_chunk, _encoding, done) => {
            done(Object.assign(new MouseError('full'), { holes: 9 }));
          },
        });
        const write = async (given: Writable) => {
          const { pipeline: pipe } = await import('node:stream/promises');
          await pipe(['x'], given);
        };
        expect(await rejectionAs(pool.submit(write, sink), MouseError)).to.include({ message: 'full', holes: 9 });
      });

      it('a chunk that cannot be cloned fails its stream, and no process', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const stream = await settled(pool.submit(readableWithFunction));
        const chunks: unknown[] = [];
        const reading = (async () => {
          for await (const chunk of stream) chunks.push(chunk);
        })();
        const error = await rejectionAs(reading, Error);
        expect(error.name).to.equal('DataCloneError');
        expect(chunks).to.deep.equal([{ fine: 1 }]);
        expect(await settled(pool.submit(() => 1))).to.equal(1);
      });

      it('a stream that is destroyed early does not look as if it had ended', async () => {
        const source = new Readable({ read: () => undefined });
        source.push('first');
        const gate = bench.gate();
        const read = async (given: Readable, token: Parameters<typeof passGate>[0]) => {
          const iterator = given[Symbol.asyncIterator]();
          await iterator.next();
          if (typeof token === 'string') process.getBuiltinModule('node:fs').writeFileSync(`${token}/arrived`, '.');
          else {
            Atomics.store(token, 1, 1);
            Atomics.notify(token, 1);
          }
          await iterator.next();
          return 'it ended well';
        };
        const future = bench.pool().submit(read, source, gate.token);
        await gate.arrived();
        source.destroy();
        expect(await rejectionAs(future, Error)).to.include({ code: 'ERR_STREAM_PREMATURE_CLOSE' });
      });

      it('a stream that has ended, failed or was destroyed before it was sent arrives as such', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const read = async (given: Readable) => {
          let count = 0;
          for await (const chunk of given) count += (chunk as Uint8Array).length;
          return count;
        };
        const ended = Readable.from(['x']);
        await ended.toArray();
        expect(await settled(pool.submit(read, ended), 'the end of a stream that had ended')).to.equal(0);
        const destroyed = new Readable({ read: () => undefined }).destroy();
        await rejectionAs(pool.submit(read, destroyed), Error);
        const failed = new Readable({ read: () => undefined }).on('error', () => undefined);
        failed.destroy(new RangeError('before'));
        expect((await rejectionAs(pool.submit(read, failed), RangeError)).message).to.equal('before');
      });

      it('a worker that destroys its end destroys the stream, and a worker that dies does too', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const abandoned = new PassThrough();
        const closed = once(abandoned, 'close');
        abandoned.on('error', () => undefined);
        await settled(
          pool.submit((given: Readable) => {
            given.destroy();
          }, abandoned),
        );
        await settled(closed);
        const widowed = new PassThrough();
        const widowedClosed = once(widowed, 'close');
        await rejectionAs(
          pool.submit((given: Readable) => {
            if (typeof given.read === 'function') process.exit(3);
          }, widowed),
          WorkerDiedError,
        );
        await settled(widowedClosed);
      });

      it('a stream that nobody has looked at is no error here when its worker ends, and one that is read is', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const make = async () => new (await import('node:stream')).Readable({ read: () => undefined });
        const ignored = await settled(pool.submit(make));
        const read = await settled(pool.submit(make));
        const reading = rejectionAs(read.toArray(), Error);
        await rejectionAs(
          pool.submit(() => process.exit(3)),
          WorkerDiedError,
        );
        expect((await reading).message).to.contain('has ended');
        await eventually(() => ignored.destroyed, 'the end of the other');
        expect(ignored.errored).to.equal(null);
      });

      it('a Duplex made in a worker works here, its halves end one by one', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const duplex = await settled(pool.submit(echoDuplex));
        const all = text(duplex);
        await settled(pipeline(Readable.from(['a', 'b', 'c']), duplex, { end: true }));
        expect(await settled(all)).to.equal('abc');
      });

      it('a net.Socket is a working duplex stream in the worker, with its addresses', async () => {
        const { client, socket, close } = await connection();
        try {
          const serve = async (given: Socket) => {
            let all = '';
            // As with any stream, a loop that reads it to its end would destroy it.
            for await (const chunk of given.iterator({ destroyOnReturn: false })) all += String(chunk);
            given.end(all.toUpperCase());
            return [given.remoteAddress, given.remotePort];
          };
          const { localPort } = client;
          const future = bench.pool().submit(serve, socket);
          const answer = text(client);
          client.end('brie');
          expect(await settled(answer)).to.equal('BRIE');
          expect(await settled(future)).to.deep.equal(['127.0.0.1', localPort]);
        } finally {
          close();
        }
      });

      it('a net.Socket that was read from goes on where that ended', async () => {
        const { client, socket, close } = await connection();
        try {
          client.write('brie');
          const [first] = (await settled(once(socket, 'data'))) as [Uint8Array];
          expect(Buffer.from(first).toString()).to.equal('brie');
          socket.pause();
          const echo = async (given: Socket) => {
            for await (const bytes of given) given.write(bytes as Uint8Array);
            given.end();
          };
          const serving = bench.pool().submit(echo, socket);
          const answer = text(client);
          client.end('gouda');
          expect(await settled(answer)).to.equal('gouda');
          await settled(serving);
        } finally {
          close();
        }
      });

      it('two sockets of one task both work', async () => {
        const connections = [await connection(), await connection()] as const;
        try {
          const write = (...given: Socket[]) => {
            given.forEach((socket, i) => socket.end(`socket ${String(i)}`));
          };
          const answers = connections.map(({ client }) => text(client));
          await settled(bench.pool().submit(write, connections[0].socket, connections[1].socket));
          expect(await settled(Promise.all(answers))).to.deep.equal(['socket 0', 'socket 1']);
        } finally {
          for (const { close } of connections) close();
        }
      });

      for (const [what, unclonable] of Object.entries({ 'a function': () => 1, 'a proxy': new Proxy({}, {}) })) {
        it(`a task that is refused for ${what} leaves its socket here, and lets others through`, async () => {
          const connections = [await connection(), await connection(), await connection()] as const;
          const [refused, ...others] = connections;
          try {
            const pool = bench.pool({ maxWorkers: 1 });
            const never = (given: Socket, other: unknown) => typeof given + typeof other;
            await rejectionAs(pool.submit(never, refused.socket, unclonable), DOMException);
            for (const { client, socket } of others) {
              const answer = text(client);
              await settled(pool.submit((given: Socket) => given.end('gouda') && 1, socket));
              expect(await settled(answer)).to.equal('gouda');
            }
            expect(refused.socket.destroyed).to.equal(false);
            const answer = text(refused.client);
            refused.socket.end('brie');
            expect(await settled(answer)).to.equal('brie');
          } finally {
            for (const { close } of connections) close();
          }
        });
      }

      it('what a worker writes to a socket before it ends it arrives whole: 20 MB', async () => {
        const { client, socket, close } = await connection();
        try {
          const serve = (given: Socket, size: number) => {
            given.end(Buffer.alloc(size, 'x'));
          };
          const received = (async () => {
            let total = 0;
            for await (const chunk of client) total += (chunk as Buffer).length;
            return total;
          })();
          client.end();
          await settled(bench.pool().submit(serve, socket, 20_000_000));
          expect(await settled(received)).to.equal(20_000_000);
        } finally {
          close();
        }
      });
    });

    describe('what cannot be read on this side', () => {
      /** Nested so deep that a worker, whose stack is larger, can write it, and this side cannot read it. */
      const nested = (depth: number) => {
        let list: unknown = null;
        for (let i = 0; i < depth; i++) list = { i, next: list };
        return list;
      };

      it('a result that cannot be read here fails its own future only, as often as it comes', async () => {
        const errors: unknown[] = [];
        const pool = bench.pool({
          maxWorkers: 1,
          concurrentTasksPerWorker: 2,
          onWorkerError: (error: unknown) => errors.push(error),
        });
        const gate = bench.gate();
        const beside = pool.submit(passGateAsync, gate.token);
        await gate.arrived();
        for (let i = 0; i < 12; i++) {
          const { message, name: kind } = await rejectionAs(
            pool.with({ retries: 2 }).submit(nested, 3000),
            DOMException,
          );
          expect(kind).to.equal('DataCloneError');
          expect(message).to.include('The result of nested');
        }
        expect(await settled(pool.submit((n: number) => n, 5))).to.equal(5);
        gate.open();
        await settled(beside);
        expect(errors).to.deep.equal([]);
        expect(pool.stats()).to.include({ workers: 1, completed: 2, failed: 12, running: 0 });
      });

      it('a Future as an argument is refused by its position', async () => {
        const pool = bench.pool({ maxWorkers: 1 });
        const first = pool.submit(() => 1);
        const error = await rejectionAs(
          pool.submit((...args: unknown[]) => args.length, 0, first),
          DOMException,
        );
        expect(error.name).to.equal('DataCloneError');
        expect(error.message).to.match(/^Argument 2 of .* Future .*await it/);
        expect(await settled(first)).to.equal(1);
      });
    });

    describe('garbage', () => {
      it('callbacks, signals and streams that are through leave no port behind, on neither side', async () => {
        const script = new URL('../fixtures/ports.js', import.meta.url);
        const { code, stdout, stderr } = await runScript(
          script,
          [capabilities.module],
          ['--expose-gc', '--no-warnings'],
        );
        expect(stderr).to.equal('');
        expect(code).to.equal(0);
        const counts = JSON.parse(stdout) as Record<string, number>;
        for (const [what, ports] of Object.entries(counts)) expect(ports, what).to.be.below(50);
      });

      it('a proxy that is collected with calls in flight, or whose source is collected, never hangs', async function () {
        // The script looks at its workers through shared memory.
        if (!capabilities.sharedMemory) this.skip();
        const script = new URL('../fixtures/collected-proxies.js', import.meta.url);
        const { code, stdout, stderr } = await runScript(script, [capabilities.module], ['--expose-gc']);
        expect(stderr).to.equal('');
        expect(code).to.equal(0);
        expect(JSON.parse(stdout)).to.deep.equal({ inFlight: 1000, any: 'from afar', streams: 100, pending: 1 });
      });
    });
  });
}
