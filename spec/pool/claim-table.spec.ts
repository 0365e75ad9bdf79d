import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import fc from 'fast-check';
import { GuestTable, HostTable, SLOTS, tagOf } from '../../dist/wire/claim-table.js';

const HEADER_OF_COUNTS = 3;
const WRAP = 2 ** 31;

type Tables = Pick<typeof import('../../dist/wire/claim-table.js'), 'HostTable' | 'GuestTable'>;

/** The same code, with its counters at `start` instead of 0: going there would take minutes. */
async function tablesFrom(start: number): Promise<Tables> {
  const source = readFileSync(new URL('../../dist/wire/claim-table.js', import.meta.url), 'utf8');
  const counters = /#(tail|head|begun|ended) = 0;/g;
  expect(source.match(counters)).to.have.length(4);
  const moved = source.replace(counters, (_, name: string) => `#${name} = ${String(start)};`);
  return (await import(`data:text/javascript,${encodeURIComponent(moved)}`)) as Tables;
}

/** Both sides of a table whose counters stand at `start`. */
function pairFrom({ HostTable, GuestTable }: Tables, start: number): { host: HostTable; guest: GuestTable } {
  const host = new HostTable();
  new Int32Array(host.memory).fill(start, 0, HEADER_OF_COUNTS);
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
  #bells = 0;
  #next: number;

  constructor(host: HostTable, guest: GuestTable, firstNumber = 1) {
    this.host = host;
    this.guest = guest;
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
        const { slot, value, began, ended } = this.host.read();
        const sent = this.#slots[slot];
        if (sent === undefined) throw new Error(`a result for slot ${String(slot)}, in which there is no task`);
        expect(sent.claimed && sent.result === undefined, 'one result of a task that was claimed').to.equal(true);
        expect({ value, began, ended }).to.deep.equal({ value: sent.value, began: sent.number, ended: -sent.number });
        sent.result = { value };
        this.#release(sent);
      }
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
      if (this.guest.write(slot, tagOf(value), value, number, -number)) this.#bells++;
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
      expect({ ...host.read() }).to.deep.equal({ slot, value, began: 1, ended: 2 });
    }
    for (const value of ['', 'x', 1n, {}, [], () => 1, Symbol('s'), new Number(1)]) expect(tagOf(value)).to.equal(-1);
  });

  it('GuestTable.write asks for one bell, until the host has lowered it', () => {
    const host = new HostTable();
    const guest = new GuestTable(host.memory);
    const write = () => guest.write(0, tagOf(1), 1, 0, 0);
    expect([write(), write(), write()]).to.deep.equal([true, false, false]);
    host.lowerBell();
    expect([write(), write()]).to.deep.equal([true, false]);
    expect(host.readable).to.equal(5);
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
});
