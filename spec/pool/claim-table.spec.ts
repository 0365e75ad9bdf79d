import { readFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { expect } from 'chai';
import fc from 'fast-check';
import { sharedStore } from '../../dist/node/handlers.js';
import { GuestTable, HostTable, MOST_PACKED, MOST_TEXT, SLOTS, tagOf } from '../../dist/wire/claim-table.js';

const HEADER_OF_COUNTS = 3;
/** Where the header counts the packed bytes that were read. */
const PACKED_TAIL = 4;
const WRAP = 2 ** 31;

type Tables = Pick<typeof import('../../dist/wire/claim-table.js'), 'HostTable' | 'GuestTable'>;

/** The same code, with its counters at `start` instead of 0: going there would take minutes. */
async function tablesFrom(start: number): Promise<Tables> {
  const source = readFileSync(new URL('../../dist/wire/claim-table.js', import.meta.url), 'utf8');
  const counters = /#(tail|head|begun|ended|packed) = 0;/g;
  expect(source.match(counters)).to.have.length(5);
  const moved = source.replace(counters, (_, name: string) => `#${name} = ${String(start)};`);
  return (await import(`data:text/javascript,${encodeURIComponent(moved)}`)) as Tables;
}

/** Both sides of a table whose counters stand at `start`. */
function pairFrom({ HostTable, GuestTable }: Tables, start: number): { host: HostTable; guest: GuestTable } {
  const host = new HostTable();
  const header = new Int32Array(host.memory);
  header.fill(start, 0, HEADER_OF_COUNTS);
  header[PACKED_TAIL] = start;
  return { host, guest: new GuestTable(host.memory) };
}

/** A task as the protocol knows it, with what either side thinks became of it. */
interface Sent {
  number: number;
  slot: number;
  value: unknown;
  claimed: boolean;
  takenBack: boolean;
  result: unknown;
}

type Step =
  { kind: 'offer'; value: unknown } | { kind: 'takeBack'; at: number } | { kind: 'claim' | 'end' | 'bell' | 'look' };

/**
 * A host and a guest on one table, in one thread. A step of one side can happen in the midst of the other's: between any
 * two of its accesses to the shared memory, `interrupt` may be called.
 */
class Protocol {
  readonly host: HostTable;
  readonly guest: GuestTable;
  readonly all: Sent[] = [];
  readonly #slots: (Sent | undefined)[] = [];
  readonly #free: number[] = [];
  /** What the guest has been sent and has not come to; numbers stay here when the task is taken back. */
  readonly #messages: Sent[] = [];
  readonly #running: Sent[] = [];
  readonly #endedBefore: number;
  #bells = 0;
  /** Results that the host has read. */
  #heard = 0;
  #next: number;

  constructor(host: HostTable, guest: GuestTable, firstNumber = 1) {
    this.host = host;
    this.guest = guest;
    this.#endedBefore = host.ended;
    this.#next = firstNumber;
  }

  readonly hostSteps = {
    offer: (value: unknown) => {
      if (this.#free.length === 0 && this.#slots.length === SLOTS) return;
      const slot = this.#free.pop() ?? this.#slots.length;
      const sent = { number: this.#next++, slot, value, claimed: false, takenBack: false, result: undefined };
      this.all.push(sent);
      this.#slots[slot] = sent;
      this.host.offer(slot, sent.number);
      this.#messages.push(sent);
    },
    takeBack: (at: number) => {
      const inFlight = this.#slots.filter((sent) => sent !== undefined);
      const sent = inFlight[at % Math.max(1, inFlight.length)];
      if (sent === undefined || !this.host.takeBack(sent.slot, sent.number)) return;
      sent.takenBack = true;
      expect(sent.claimed, 'claimed, and then taken back').to.equal(false);
      this.#release(sent);
    },
    bell: () => {
      if (this.#bells === 0) return;
      this.#bells--;
      this.host.lowerBell();
      for (let left = this.host.readable; left > 0; left--) {
        const { slot, value, packed, began, ended } = this.host.read();
        const sent = this.#slots[slot];
        if (sent === undefined) throw new Error(`a result for slot ${String(slot)}, in which there is no task`);
        expect(sent.claimed && sent.result === undefined, 'one result of a task that was claimed').to.equal(true);
        const bytes = sent.value instanceof Uint8Array;
        expect({ value, packed, began, ended }).to.deep.equal({
          value: sent.value,
          packed: bytes,
          began: sent.number,
          ended: -sent.number,
        });
        sent.result = { value };
        this.#release(sent);
        this.#heard++;
      }
      // Nobody else would tell the host that the guest is free: it would send it nothing more.
      expect((this.host.ended - this.#endedBefore) | 0, 'ended tasks, with their results read').to.be.at.least(
        this.#heard,
      );
    },
    look: () => {
      for (const sent of this.#slots) {
        if (sent !== undefined && this.host.isBegun(sent.slot, sent.number)) {
          expect(sent.takenBack, 'taken back, and then begun').to.equal(false);
        }
      }
    },
  };

  readonly guestSteps = {
    claim: () => {
      const sent = this.#messages.shift();
      if (sent === undefined) return;
      const claimed = this.guest.claim(sent.slot, sent.number);
      sent.claimed = claimed;
      expect(claimed, 'either claimed or taken back').to.equal(!sent.takenBack);
      if (claimed) this.#running.push(sent);
    },
    end: () => {
      const sent = this.#running.shift();
      if (sent === undefined) return;
      const { slot, value, number } = sent;
      if (value instanceof Uint8Array) {
        // As many as there are slots have room.
        expect(this.guest.writePacked(slot, value, number, -number)).to.equal(true);
      } else {
        this.guest.write(slot, tagOf(value), value, number, -number);
      }
      if (this.guest.ring()) this.#bells++;
    },
  };

  do(step: Step): void {
    if (step.kind === 'offer') this.hostSteps.offer(step.value);
    else if (step.kind === 'takeBack') this.hostSteps.takeBack(step.at);
    else if (step.kind === 'bell' || step.kind === 'look') this.hostSteps[step.kind]();
    else this.guestSteps[step.kind]();
  }

  /** Between two steps: whatever lies in the ring, a bell is under way. */
  checkBell(): void {
    if (this.#bells === 0) expect(this.host.readable, 'results that no bell tells of').to.equal(0);
  }

  /** Lets the guest do all that it has, and the host hear all bells, then checks that nothing is left over. */
  finish(counted: number): void {
    while (this.#messages.length > 0) this.guestSteps.claim();
    while (this.#running.length > 0) this.guestSteps.end();
    while (this.#bells > 0) this.hostSteps.bell();
    this.checkBell();
    const claimed = this.all.filter((sent) => sent.claimed);
    for (const sent of this.all) {
      expect([sent.claimed, sent.takenBack].filter(Boolean)).to.have.length(1);
      expect(sent.result !== undefined, 'a result for what was claimed, and for nothing else').to.equal(sent.claimed);
    }
    expect((this.host.begun - counted) | 0).to.equal(claimed.length);
    expect((this.host.ended - counted) | 0).to.equal(claimed.length);
  }

  #release(sent: Sent): void {
    this.#slots[sent.slot] = undefined;
    this.#free.push(sent.slot);
  }
}

const HOST_STEPS: readonly Step['kind'][] = ['offer', 'takeBack', 'bell', 'look'];

/**
 * Runs the steps in order, but some of them in the midst of an earlier step of the other side: `interrupts` says at which
 * accesses to the shared memory.
 */
function interleave(protocol: Protocol, steps: readonly Step[], interrupts: readonly boolean[]): void {
  const waiting = [...steps];
  const atomics = Atomics as unknown as Record<string, (...args: unknown[]) => unknown>;
  const names = ['load', 'store', 'exchange', 'compareExchange'];
  const own = names.map((name) => atomics[name]!);
  let accesses = 0;
  let side: 'host' | 'guest' | undefined;
  const sideOf = ({ kind }: Step) => (HOST_STEPS.includes(kind) ? 'host' : 'guest');
  for (const [i, name] of names.entries()) {
    atomics[name] = (...args) => {
      // One level deep: what interrupts is not interrupted.
      if (side !== undefined && interrupts[accesses++] === true) {
        const interrupted = side;
        side = undefined;
        const at = waiting.findIndex((step) => sideOf(step) !== interrupted);
        const [step] = at < 0 ? [] : waiting.splice(at, 1);
        if (step !== undefined) protocol.do(step);
        side = interrupted;
      }
      return own[i]!.apply(Atomics, args);
    };
  }
  try {
    for (let step = waiting.shift(); step !== undefined; step = waiting.shift()) {
      side = sideOf(step);
      protocol.do(step);
      side = undefined;
      protocol.checkBell();
    }
  } finally {
    for (const [i, name] of names.entries()) atomics[name] = own[i]!;
  }
}

const plainValue = fc.oneof(
  fc.uint8Array({ maxLength: 100 }),
  fc.double(),
  fc.integer(),
  fc.constantFrom(undefined, null, true, false, -0, NaN, Infinity),
);
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('offer' as const), value: plainValue }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('takeBack' as const), at: fc.nat(20) }) },
    {
      weight: 5,
      arbitrary: fc.record({
        kind: fc.constantFrom('claim' as const, 'end' as const, 'bell' as const, 'look' as const),
      }),
    },
  ),
  { maxLength: 100, size: 'max' },
);
const interrupts = fc.array(fc.boolean(), { maxLength: 100, size: 'max' });

describe('claim table', () => {
  it('HostTable.takeBack and GuestTable.claim: the first one has the task, the other one does not', () => {
    const host = new HostTable();
    const guest = new GuestTable(host.memory);
    host.offer(0, 1);
    host.offer(1, 2);
    expect([guest.claim(0, 1), host.takeBack(0, 1)]).to.deep.equal([true, false]);
    expect([host.takeBack(1, 2), guest.claim(1, 2)]).to.deep.equal([true, false]);
    expect([host.isBegun(0, 1), host.isBegun(1, 2)]).to.deep.equal([true, false]);
    expect([host.begun, host.ended]).to.deep.equal([1, 0]);
  });

  it('HostTable.offer gives a slot to another task at once; who holds the old number has no claim', () => {
    const host = new HostTable();
    const guest = new GuestTable(host.memory);
    host.offer(5, 1);
    host.takeBack(5, 1);
    host.offer(5, 2);
    expect([guest.claim(5, 1), host.takeBack(5, 1), guest.claim(5, 2)]).to.deep.equal([false, false, true]);
    expect([host.isBegun(5, 1), host.isBegun(5, 2)]).to.deep.equal([false, true]);
  });

  it('claims hold for the largest numbers', () => {
    const host = new HostTable();
    const guest = new GuestTable(host.memory);
    for (const number of [WRAP - 1, WRAP - 2, 1]) {
      host.offer(SLOTS - 1, number);
      expect([guest.claim(SLOTS - 1, number), host.isBegun(SLOTS - 1, number)]).to.deep.equal([true, true]);
    }
  });

  it('tagOf has a tag for plain values, which arrive as they are, and none for others', () => {
    const host = new HostTable();
    const guest = new GuestTable(host.memory);
    const values = [0, -0, 1.5, NaN, Infinity, -Infinity, 2 ** 53, 5e-324, undefined, null, true, false];
    for (const [slot, value] of values.entries()) guest.write(slot, tagOf(value), value, 1, 2);
    for (const [slot, value] of values.entries()) {
      expect({ ...host.read() }).to.deep.equal({ slot, value, packed: false, began: 1, ended: 2 });
    }
    for (const value of ['', 'x', 1n, {}, [], () => 1, Symbol('s'), new Number(1)]) expect(tagOf(value)).to.equal(-1);
  });

  it('GuestTable.ring asks for one bell, until the host has lowered it', () => {
    const host = new HostTable();
    const guest = new GuestTable(host.memory);
    expect([guest.ring(), guest.ring(), guest.ring()]).to.deep.equal([true, false, false]);
    host.lowerBell();
    expect([guest.ring(), guest.ring()]).to.deep.equal([true, false]);
  });

  it('GuestTable.isExpected tells whether the host is going to look: after a bell, and when it has promised to', () => {
    const host = new HostTable();
    const guest = new GuestTable(host.memory);
    const seen = [guest.isExpected];
    guest.ring();
    seen.push(guest.isExpected);
    host.lowerBell();
    seen.push(guest.isExpected);
    host.promiseLook();
    seen.push(guest.isExpected);
    expect(seen).to.deep.equal([false, true, false, true]);
    expect([guest.ring(), guest.ring()], 'a bell before the promised look').to.deep.equal([true, false]);
    host.promiseLook();
    expect(guest.ring(), 'one is under way').to.equal(false);
  });

  it('GuestTable.awaitLook holds nothing up when no bell is under way, or when the time has passed', () => {
    const host = new HostTable();
    const guest = new GuestTable(host.memory);
    guest.awaitLook(60_000);
    host.promiseLook();
    guest.awaitLook(60_000);
    guest.ring();
    guest.awaitLook(0);
    expect(guest.ring(), 'its bell is still under way').to.equal(false);
    expect(host.lowerBell(), 'nobody is held any more').to.equal(false);
  });

  it('GuestTable.awaitLook holds the thread until the host has looked and releases it', async () => {
    const host = new HostTable();
    const guest = `
      const { parentPort, workerData } = require('node:worker_threads');
      import(workerData.module).then(({ GuestTable }) => {
        const guest = new GuestTable(workerData.memory);
        // A look that comes before it is held lets it go on.
        do {
          guest.ring();
          guest.awaitLook(60_000);
        } while (Atomics.load(workerData.released, 0) === 0);
        parentPort.postMessage('goes on');
      });`;
    const module = new URL('../../dist/wire/claim-table.js', import.meta.url).href;
    const released = new Int32Array(new SharedArrayBuffer(4));
    const worker = new Worker(guest, { eval: true, workerData: { module, memory: host.memory, released } });
    try {
      const said: unknown[] = [];
      worker.on('message', (what) => said.push(what));
      while (!host.lowerBell()) await new Promise((resolve) => setImmediate(resolve));
      expect(said).to.deep.equal([]);
      Atomics.store(released, 0, 1);
      host.release();
      while (said.length === 0) await new Promise((resolve) => setImmediate(resolve));
    } finally {
      await worker.terminate();
    }
  });

  it('GuestTable.writePacked hands over bytes as long as there is room for them', () => {
    const host = new HostTable();
    const guest = new GuestTable(host.memory);
    const bytes = (i: number) => new Uint8Array(MOST_PACKED).fill(i);
    let written = 0;
    while (guest.writePacked(0, bytes(written), 1, 2)) written++;
    expect(written).to.equal(256);
    for (let i = 0; i < written; i++) {
      expect({ ...host.read() }).to.deep.equal({ slot: 0, value: bytes(i), packed: true, began: 1, ended: 2 });
      // The place of what was read is free again.
      expect(guest.writePacked(0, bytes(written + i), 1, 2)).to.equal(true);
      expect(guest.writePacked(0, bytes(0), 1, 2)).to.equal(false);
    }
    for (let i = 0; i < written; i++) expect(host.read().value).to.deep.equal(bytes(written + i));
    expect(host.readable).to.equal(0);
    expect(host.ended).to.equal(2 * written);
  });

  const texts: [string, string | bigint][] = [
    ['an empty string', ''],
    ['a string of one-byte characters', 'Grüße, \u0000 and ÿ'],
    ['a string of two-byte characters', '日本語 and €'],
    ['an emoji', '🧵'],
    ['halves of surrogate pairs', 'a\ud83e and \uddf5'],
    ['the longest string', 'x'.repeat(MOST_TEXT)],
    ['the longest string of two-byte characters', '€'.repeat(MOST_TEXT / 2)],
    ['a BigInt', 2n ** 64n],
    ['a negative BigInt', -(10n ** 30n) + 1n],
    ['no BigInt at all', 0n],
    ['a long BigInt', 2n ** BigInt((MOST_TEXT - 16) * 8) - 1n],
    ['a long negative BigInt', -(2n ** BigInt((MOST_TEXT - 16) * 8))],
  ];
  for (const [what, value] of texts) {
    it(`GuestTable.writeText hands over ${what}`, () => {
      const host = new HostTable(sharedStore);
      const guest = new GuestTable(host.memory, sharedStore);
      // At an odd position and at an even one.
      for (const before of ['', 'x']) {
        guest.writeText(0, before, 0, 0);
        host.read();
        expect(guest.writeText(7, value, 1, 2)).to.equal(true);
        expect({ ...host.read() }).to.deep.equal({ slot: 7, value, packed: false, began: 1, ended: 2 });
      }
    });
  }

  it('BigInts arrive whole among other values and through many rounds of the store', () => {
    const host = new HostTable(sharedStore);
    const guest = new GuestTable(host.memory, sharedStore);
    const bigInt = fc.oneof(fc.bigInt(), fc.bigInt({ min: -(2n ** 8000n), max: 2n ** 8000n }));
    const values = fc.array(fc.oneof({ weight: 3, arbitrary: bigInt }, fc.string({ maxLength: 50 }), fc.integer()), {
      maxLength: 60,
      size: 'max',
    });
    fc.assert(
      fc.property(values, (row) => {
        for (const value of row) {
          if (typeof value === 'number') guest.write(0, tagOf(value), value, 1, 2);
          else expect(guest.writeText(0, value, 1, 2)).to.equal(true);
        }
        expect(row.map(() => host.read().value)).to.deep.equal(row);
      }),
      { numRuns: 300 },
    );
  });

  it('GuestTable.writeText refuses everything where the platform has no memory for texts', () => {
    expect(new GuestTable(new HostTable().memory).writeText(0, 'x', 0, 0)).to.equal(false);
  });

  it('GuestTable.writeText refuses what is too long, and what there is no room for', () => {
    const host = new HostTable(sharedStore);
    const guest = new GuestTable(host.memory, sharedStore);
    for (const value of ['x'.repeat(MOST_TEXT + 1), '€'.repeat(MOST_TEXT / 2 + 1), 2n ** BigInt(MOST_TEXT * 8)]) {
      expect(guest.writeText(0, value, 0, 0)).to.equal(false);
    }
    const long = 'x'.repeat(MOST_TEXT);
    while (guest.writeText(0, long, 0, 0));
    expect(guest.writeText(0, 'x', 0, 0)).to.equal(false);
    const { readable } = host;
    for (let i = 0; i < readable; i++) expect(host.read().value).to.equal(long);
    expect(guest.writeText(0, 'x', 0, 0)).to.equal(true);
    expect(host.read().value).to.equal('x');
  });

  it('what was refused for want of room counts as nothing', () => {
    const host = new HostTable();
    const guest = new GuestTable(host.memory);
    while (guest.writePacked(0, new Uint8Array(MOST_PACKED), 0, 0));
    const { readable } = host;
    expect(guest.writePacked(0, new Uint8Array(MOST_PACKED), 0, 0)).to.equal(false);
    guest.write(1, tagOf(true), true, 0, 0);
    expect(host.readable).to.equal(readable + 1);
    for (let i = 0; i < readable; i++) expect(host.read().packed).to.equal(true);
    expect(host.read()).to.include({ slot: 1, value: true, packed: false });
  });

  it('a result is readable from the moment of its write, bell or not', () => {
    const host = new HostTable();
    const guest = new GuestTable(host.memory);
    for (let i = 0; i < SLOTS; i++) guest.write(i, tagOf(i), i, 0, 0);
    expect(host.readable).to.equal(SLOTS);
    for (let i = 0; i < SLOTS; i++) expect(host.read().value).to.equal(i);
    expect(host.readable).to.equal(0);
  });

  it('GuestTable.countEnd counts a result that went by message as ended', () => {
    const host = new HostTable();
    const guest = new GuestTable(host.memory);
    guest.countEnd();
    expect([host.ended, host.readable]).to.deep.equal([1, 0]);
  });

  for (const [where, start] of [
    ['from the start', 0],
    ['where the counters wrap', WRAP - 3],
    ['where they come back to 0', -3],
  ] as const) {
    it(`in any interleaving each task is claimed or taken back, and its result arrives once: ${where}`, async () => {
      const tables = await tablesFrom(start);
      fc.assert(
        fc.property(steps, interrupts, (sequence, when) => {
          const { host, guest } = pairFrom(tables, start);
          const protocol = new Protocol(host, guest, WRAP - 1 - sequence.length);
          interleave(protocol, sequence, when);
          protocol.finish(start);
        }),
        { numRuns: 500 },
      );
    });
  }

  it('the ring goes round many times and loses nothing', async () => {
    const start = WRAP - 3 * SLOTS;
    const { host, guest } = pairFrom(await tablesFrom(start), start);
    let read = 0;
    for (let written = 0; written < 6 * SLOTS;) {
      const batch = Math.min(1 + (written % SLOTS), 6 * SLOTS - written);
      for (let i = 0; i < batch; i++) guest.write(written % SLOTS, tagOf(written), written++, 0, 0);
      expect(host.readable).to.equal(batch);
      for (let i = 0; i < batch; i++) {
        const { slot, value } = host.read();
        if (value !== read || slot !== read % SLOTS) throw new Error(`expected ${String(read)}: got ${String(value)}`);
        read++;
      }
    }
    expect(host.ended).to.equal((start + 6 * SLOTS) | 0);
  });

  for (const [where, start] of [
    ['from the start', 0],
    ['where the positions wrap', WRAP - 300_000],
  ] as const) {
    it(`packed bytes of all lengths go round many times and arrive whole: ${where}`, async () => {
      const { host, guest } = pairFrom(await tablesFrom(start), start);
      const lengthOf = (i: number) => (i * 37) % (MOST_PACKED + 1);
      let read = 0;
      for (let written = 0; written < 5000;) {
        const bytes = new Uint8Array(lengthOf(written)).fill(written);
        if (host.readable < SLOTS && guest.writePacked(0, bytes, 0, 0)) {
          written++;
          continue;
        }
        for (let left = host.readable; left > 0; left--, read++) {
          const value = host.read().value as Uint8Array;
          if (value.length !== lengthOf(read) || value.some((byte) => byte !== (read & 255))) {
            throw new Error(`result ${String(read)} is not what was written`);
          }
        }
      }
      expect(read).to.be.greaterThan(4000);
    });
  }
});
