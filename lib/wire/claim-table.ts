/**
 * The memory that a host and one guest share: who may run a task that was sent ahead, and the results that are there.
 *
 * Claims. Each task in flight has a slot and a number; numbers are not used twice while a worker lives. The host offers
 * by writing the number into the slot. Then both sides compare-and-swap: the guest from `number` to `-number` before it
 * calls the function, the host from `number` to 0 to take the task back. One of them succeeds. A slot can be offered
 * again at once: whoever still holds the old number finds that it does not match.
 *
 * Results. Small values are written to a ring with one entry a slot, which therefore never overflows: the host frees a slot
 * only after it has read its entry. Numbers, booleans, null and undefined lie in the entry itself; strings, BigInts and the
 * bytes of others, which the platform has packed, lie beside it in a store that is filled round and round, as long as
 * there is room. An entry counts once HEAD has passed it, so a guest that dies between the two has not finished the task. A finished result
 * is therefore visible to the host at once, whatever the guest does next.
 *
 * The bell tells the host to look. It is posted only when none is under way: the host lowers the bell before it reads
 * HEAD, so what is written after a look rings again.
 */

/** Slots of one worker, a power of two: the most tasks in flight to it. */
export const SLOTS = 2048;

/** Most bytes of one packed result: longer ones gain little over a message of their own. */
export const MOST_PACKED = 1024;

/** Most bytes of one string or BigInt in the store. */
export const MOST_TEXT = 4096;

const HEADER_BYTES = 64;
const BEGUN_COUNT = 0;
const ENDED_COUNT = 1;
const HEAD = 2;
const BELL = 3;
/** How far the host has read the packed bytes. */
const PACKED_TAIL = 4;
// The bell: no look of the host is due; a bell is under way to the host; the host looks by itself in a moment; a bell is
// under way, and the guest holds its thread until the host has looked.
const SILENT = 0;
const RUNG = 1;
const AWAITED = 2;
const HELD = 3;
const CLAIMS = HEADER_BYTES / 4;
const RING = HEADER_BYTES + SLOTS * 4;
const ENTRY_BYTES = 32;
const STORE = RING + SLOTS * ENTRY_BYTES;
/** A power of two, so that positions may wrap. */
const STORE_BYTES = 2 ** 18;
const TOTAL_BYTES = STORE + STORE_BYTES;

// What a ring entry holds: its tag says which of the plain values.
const TAG_NUMBER = 0;
const PLAIN_VALUES: readonly unknown[] = [0, undefined, null, true, false];
const TAG_PACKED = 5;
/** A string of characters up to U+00FF: a byte each. */
const TAG_TEXT = 6;
/** Any other string: two bytes for each of its code units. */
const TAG_WIDE = 7;
const TAG_BIGINT = 8;

const ONE_BYTE_EACH = /^[\0-\xff]*$/;

/** Tells whether a value fits into the ring. */
export function tagOf(value: unknown): number {
  switch (typeof value) {
    case 'number':
      return TAG_NUMBER;
    case 'undefined':
      return 1;
    case 'boolean':
      return value ? 3 : 4;
    default:
      return value === null ? 2 : -1;
  }
}

/** One result read from the ring; a single object that is filled anew for each. */
export interface RingEntry {
  slot: number;
  value: unknown;
  /** Whether the value is what the platform has packed: bytes, to be unpacked. */
  packed: boolean;
  began: number;
  ended: number;
}

/** Reads and writes in shared memory what the language alone cannot; not every platform can. */
export interface SharedStore {
  /** Writes characters, one or two bytes each. */
  writeText(text: string, at: number, wide: boolean): void;
  readText(from: number, to: number, wide: boolean): string;
  /** The bytes of a BigInt, to be written to the store; undefined when the platform has none. */
  packBigInt(value: bigint): Uint8Array | undefined;
  /** The BigInt whose bytes lie there. */
  readBigInt(from: number, to: number): bigint;
}

/** Makes the one of a part of some memory. */
export type SharedStoreMaker = (memory: SharedArrayBuffer, offset: number, length: number) => SharedStore;

class Table {
  readonly memory: SharedArrayBuffer;
  protected readonly ints: Int32Array;
  protected readonly floats: Float64Array;
  protected readonly store: Uint8Array;
  protected readonly shared: SharedStore | undefined;

  constructor(memory: SharedArrayBuffer, sharedStore?: SharedStoreMaker) {
    this.memory = memory;
    this.ints = new Int32Array(memory);
    this.floats = new Float64Array(memory, 0, STORE / 8);
    this.store = new Uint8Array(memory, STORE, STORE_BYTES);
    this.shared = sharedStore?.(memory, STORE, STORE_BYTES);
  }
}

/** The host's side of the table. */
export class HostTable extends Table {
  #tail = 0;
  readonly entry: RingEntry = { slot: 0, value: undefined, packed: false, began: 0, ended: 0 };

  constructor(sharedStore?: SharedStoreMaker) {
    super(new SharedArrayBuffer(TOTAL_BYTES), sharedStore);
  }

  /** How many tasks the guest has begun, since its start. */
  get begun(): number {
    return Atomics.load(this.ints, BEGUN_COUNT);
  }

  /** How many tasks the guest has ended, since its start. */
  get ended(): number {
    return Atomics.load(this.ints, ENDED_COUNT);
  }

  offer(slot: number, number: number): void {
    Atomics.store(this.ints, CLAIMS + slot, number);
  }

  /** False when the guest has begun the task. */
  takeBack(slot: number, number: number): boolean {
    return Atomics.compareExchange(this.ints, CLAIMS + slot, number, 0) === number;
  }

  isBegun(slot: number, number: number): boolean {
    return Atomics.load(this.ints, CLAIMS + slot) === -number;
  }

  /**
   * To be called before `readable`, so that what comes after rings again.
   *
   * @returns true when the guest holds its thread: then `release` is to be called when all has been seen to
   */
  lowerBell(): boolean {
    return Atomics.exchange(this.ints, BELL, SILENT) === HELD;
  }

  /** Lets a guest go on that holds its thread. */
  release(): void {
    Atomics.notify(this.ints, BELL);
  }

  /** The host will look by itself: until it lowers the bell for that, the guest need not ring. */
  promiseLook(): void {
    Atomics.compareExchange(this.ints, BELL, SILENT, AWAITED);
  }

  /** How many results lie in the ring. */
  get readable(): number {
    return (Atomics.load(this.ints, HEAD) - this.#tail) | 0;
  }

  /** Reads the next result into `entry`. */
  read(): RingEntry {
    const at = RING + (this.#tail & (SLOTS - 1)) * ENTRY_BYTES;
    this.#tail = (this.#tail + 1) | 0;
    const { entry, ints, floats } = this;
    entry.slot = ints[at >> 2] as number;
    const tag = ints[(at >> 2) + 1] as number;
    entry.packed = tag === TAG_PACKED;
    if (tag === TAG_NUMBER) entry.value = floats[(at >> 3) + 1];
    else entry.value = tag < TAG_PACKED ? PLAIN_VALUES[tag] : this.#readStored(tag, at);
    entry.began = floats[(at >> 3) + 2] as number;
    entry.ended = floats[(at >> 3) + 3] as number;
    return entry;
  }

  /** What lies in the store, as a copy: its place is free after it. */
  #readStored(tag: number, at: number): unknown {
    const position = this.ints[(at >> 2) + 2] as number;
    const length = this.ints[(at >> 2) + 3] as number;
    const from = position & (STORE_BYTES - 1);
    const value = this.#readFrom(tag, from, from + length);
    Atomics.store(this.ints, PACKED_TAIL, (position + length) | 0);
    return value;
  }

  #readFrom(tag: number, from: number, to: number): unknown {
    if (tag === TAG_PACKED) return this.store.slice(from, to);
    const shared = this.shared as SharedStore;
    return tag === TAG_BIGINT ? shared.readBigInt(from, to) : shared.readText(from, to, tag === TAG_WIDE);
  }
}

/** The guest's side of the table. */
export class GuestTable extends Table {
  #head = 0;
  #begun = 0;
  #ended = 0;
  #packed = 0;

  /** True when the task is the guest's to run; false when the host has taken it back. */
  claim(slot: number, number: number): boolean {
    if (Atomics.compareExchange(this.ints, CLAIMS + slot, number, -number) !== number) return false;
    this.#begun = (this.#begun + 1) | 0;
    Atomics.store(this.ints, BEGUN_COUNT, this.#begun);
    return true;
  }

  /** Counts a task whose result goes by message. */
  countEnd(): void {
    this.#ended = (this.#ended + 1) | 0;
    Atomics.store(this.ints, ENDED_COUNT, this.#ended);
  }

  /** Hands a result over. */
  write(slot: number, tag: number, value: unknown, began: number, ended: number): void {
    if (tag === TAG_NUMBER) this.floats[(this.#entry >> 3) + 1] = value as number;
    this.#publish(slot, tag, began, ended);
  }

  /** Hands over what the platform has packed. @returns false when there is no room for it */
  writePacked(slot: number, bytes: Uint8Array, began: number, ended: number): boolean {
    return this.#writeBytes(slot, TAG_PACKED, bytes, began, ended);
  }

  /** Hands over a string or a BigInt. @returns false when it is too long, or when there is no room for it */
  writeText(slot: number, value: string | bigint, began: number, ended: number): boolean {
    const { shared } = this;
    if (shared === undefined) return false;
    if (typeof value === 'bigint') {
      const bytes = shared.packBigInt(value);
      return (
        bytes !== undefined && bytes.length <= MOST_TEXT && this.#writeBytes(slot, TAG_BIGINT, bytes, began, ended)
      );
    }
    if (value.length > MOST_TEXT) return false;
    const wide = !ONE_BYTE_EACH.test(value);
    const length = wide ? value.length * 2 : value.length;
    const from = length > MOST_TEXT ? -1 : this.#reserve(length);
    if (from < 0) return false;
    shared.writeText(value, from, wide);
    this.#publish(slot, wide ? TAG_WIDE : TAG_TEXT, began, ended);
    return true;
  }

  #writeBytes(slot: number, tag: number, bytes: Uint8Array, began: number, ended: number): boolean {
    const from = this.#reserve(bytes.length);
    if (from < 0) return false;
    this.store.set(bytes, from);
    this.#publish(slot, tag, began, ended);
    return true;
  }

  /** Notes in the next entry where so many bytes of the store are. @returns where, or -1 when there is no room */
  #reserve(length: number): number {
    const { ints } = this;
    let position = this.#packed;
    let from = position & (STORE_BYTES - 1);
    // In one piece: what does not fit at the end goes to the beginning.
    if (from + length > STORE_BYTES) {
      position = (position + STORE_BYTES - from) | 0;
      from = 0;
    }
    if (((position + length - Atomics.load(ints, PACKED_TAIL)) | 0) > STORE_BYTES) return -1;
    this.#packed = (position + length) | 0;
    const at = this.#entry >> 2;
    ints[at + 2] = position;
    ints[at + 3] = length;
    return from;
  }

  /** @returns true when the host has to be told to look: no bell is under way */
  ring(): boolean {
    return Atomics.exchange(this.ints, BELL, RUNG) !== RUNG;
  }

  /** Holds the thread until the host looks, if a bell is under way; at most so many ms. */
  awaitLook(ms: number): void {
    const { ints } = this;
    if (Atomics.compareExchange(ints, BELL, RUNG, HELD) !== RUNG) return;
    Atomics.wait(ints, BELL, HELD, ms);
    Atomics.compareExchange(ints, BELL, HELD, RUNG);
  }

  /** To be asked after a result was written. @returns true when the host is going to look at it anyway */
  get isExpected(): boolean {
    return Atomics.load(this.ints, BELL) !== SILENT;
  }

  /** Where the next entry lies. */
  get #entry(): number {
    return RING + (this.#head & (SLOTS - 1)) * ENTRY_BYTES;
  }

  #publish(slot: number, tag: number, began: number, ended: number): void {
    const at = this.#entry;
    const { ints, floats } = this;
    ints[at >> 2] = slot;
    ints[(at >> 2) + 1] = tag;
    floats[(at >> 3) + 2] = began;
    floats[(at >> 3) + 3] = ended;
    // Counted first: the host must not find a guest busy whose result it has, for then it would wait for an end to come.
    this.countEnd();
    this.#head = (this.#head + 1) | 0;
    Atomics.store(ints, HEAD, this.#head);
  }
}
