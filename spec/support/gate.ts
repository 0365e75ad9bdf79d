/**
 * Barriers between the test and its tasks. They are words in shared memory; where host and worker share none, they are
 * files. The functions that tasks call are sendable by their source: they refer to nothing outside of themselves.
 */
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually, settled } from './watchdog.js';

/** What a task is given of a gate: the words [open, arrivals], or the directory of the files `open` and `arrived`. */
export type GateToken = Int32Array | string;

/** What a task is given of a tally: a word for each index, or the directory of the file `touched` with a line a touch. */
export type TallyToken = Int32Array | string;

interface WaitAsync {
  waitAsync(words: Int32Array, index: number, value: number): { async: boolean; value: Promise<string> | string };
}

/** For tasks: arrives at the gate, blocks the thread until it is open, and returns `value`. */
export function passGate(gate: GateToken, value = 0): number {
  if (typeof gate === 'string') {
    const fs = process.getBuiltinModule('node:fs');
    const pause = new Int32Array(new SharedArrayBuffer(4));
    fs.appendFileSync(`${gate}/arrived`, '.');
    while (!fs.existsSync(`${gate}/open`)) Atomics.wait(pause, 0, 0, 2);
  } else {
    Atomics.add(gate, 1, 1);
    Atomics.notify(gate, 1);
    Atomics.wait(gate, 0, 0);
  }
  return value;
}

/** For tasks: arrives at the gate, leaves the thread to others until it is open, and returns `value`. */
export async function passGateAsync(gate: GateToken, value = 0): Promise<number> {
  if (typeof gate === 'string') {
    const fs = process.getBuiltinModule('node:fs');
    fs.appendFileSync(`${gate}/arrived`, '.');
    while (!fs.existsSync(`${gate}/open`)) await new Promise((resolve) => setTimeout(resolve, 2));
  } else {
    Atomics.add(gate, 1, 1);
    Atomics.notify(gate, 1);
    await (Atomics as unknown as WaitAsync).waitAsync(gate, 0, 0).value;
  }
  return value;
}

/** For tasks: opens the gate for those who wait there, and returns `value`. */
export function openGate(gate: GateToken, value = 0): number {
  if (typeof gate === 'string') {
    process.getBuiltinModule('node:fs').writeFileSync(`${gate}/open`, '');
  } else {
    Atomics.store(gate, 0, 1);
    Atomics.notify(gate, 0);
  }
  return value;
}

/** For tasks: leaves a mark that the test can count, and returns the index. */
export function touch(tally: TallyToken, index = 0): number {
  if (typeof tally === 'string') {
    process.getBuiltinModule('node:fs').appendFileSync(`${tally}/touched`, `${String(index)}\n`);
  } else {
    Atomics.add(tally, index, 1);
  }
  return index;
}

/** A gate that tasks wait at, and that knows how many have arrived there. */
export class Gate implements Disposable {
  /** Goes to the tasks, as an argument. */
  readonly token: GateToken;

  constructor(sharedMemory: boolean) {
    this.token = sharedMemory ? new Int32Array(new SharedArrayBuffer(8)) : mkdtempSync(join(tmpdir(), 'gate-'));
  }

  /** Lets through whoever waits and whoever comes later. */
  open(): void {
    const { token } = this;
    if (typeof token === 'string') {
      if (existsSync(token)) writeFileSync(join(token, 'open'), '');
    } else {
      Atomics.store(token, 0, 1);
      Atomics.notify(token, 0);
    }
  }

  /** How many tasks have come to the gate so far. */
  get arrivals(): number {
    const { token } = this;
    if (typeof token !== 'string') return Atomics.load(token, 1);
    const path = join(token, 'arrived');
    return existsSync(path) ? readFileSync(path).length : 0;
  }

  /** Resolves when so many tasks have come to the gate. */
  async arrived(count = 1): Promise<void> {
    const what = `the arrival of ${String(count)} tasks at the gate`;
    const { token } = this;
    if (typeof token === 'string') {
      await eventually(() => this.arrivals >= count, what);
      return;
    }
    for (let seen = this.arrivals; seen < count; seen = this.arrivals) {
      const { async, value } = (Atomics as unknown as WaitAsync).waitAsync(token, 1, seen);
      if (async) await settled(value as Promise<string>, `${what} (${String(seen)} are there)`);
    }
  }

  [Symbol.dispose](): void {
    this.open();
    if (typeof this.token === 'string') rmSync(this.token, { recursive: true, force: true });
  }
}

/** Counts what tasks did, by index. */
export class Tally implements Disposable {
  /** Goes to the tasks, as an argument. */
  readonly token: TallyToken;

  constructor(sharedMemory: boolean, size: number) {
    this.token = sharedMemory ? new Int32Array(new SharedArrayBuffer(4 * size)) : mkdtempSync(join(tmpdir(), 'tally-'));
    if (typeof this.token === 'string') appendFileSync(join(this.token, 'touched'), '');
  }

  /** How often this index was touched. */
  at(index: number): number {
    const { token } = this;
    if (typeof token !== 'string') return Atomics.load(token, index);
    return this.#lines(token).filter((line) => line === String(index)).length;
  }

  /** How often any index was touched. */
  get total(): number {
    const { token } = this;
    if (typeof token === 'string') return this.#lines(token).length;
    return token.reduce((sum, count) => sum + count, 0);
  }

  [Symbol.dispose](): void {
    if (typeof this.token === 'string') rmSync(this.token, { recursive: true, force: true });
  }

  #lines(directory: string): string[] {
    return readFileSync(join(directory, 'touched'), 'utf8').split('\n').slice(0, -1);
  }
}
