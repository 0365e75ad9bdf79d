import type { AddressInfo, Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { show } from '../options.js';
import { LONGEST_TIMER } from '../timeouts.js';

/** What of a socket is told to the other side: an array, since it crosses sooner than an object. */
export type Address = [
  remoteAddress: string | undefined,
  remoteFamily: string | undefined,
  remotePort: number | undefined,
  localAddress: string | undefined,
  localFamily: string | undefined,
  localPort: number | undefined,
];

/** @param local - the socket's own address where it is known already: the system is asked for each otherwise */
export function addressOf(socket: Socket, local?: AddressInfo): Address {
  const { remoteAddress, remoteFamily, remotePort } = socket;
  if (local !== undefined) return [remoteAddress, remoteFamily, remotePort, local.address, local.family, local.port];
  const { localAddress, localFamily, localPort } = socket;
  return [remoteAddress, remoteFamily, remotePort, localAddress, localFamily, localPort];
}

/** The way of a socket to its handle. */
export interface Line {
  /** Bytes, of those written, that have been sent there. */
  readonly bytesSent: number;
  /** The reader wants more. */
  read(): void;
  write(chunk: unknown, done: (error?: Error) => void): void;
  end(done: () => void): void;
  destroy(error: Error | null): void;
  /** Has the connection reset. */
  reset(): void;
  /** Has a method of the socket itself called. */
  set(setting: Setting): void;
}

/** Methods of net.Socket that are about its connection, and what they are called with. */
export type Setting =
  [method: 'setNoDelay', enable: boolean] | [method: 'setKeepAlive', enable: boolean, initialDelay: number | undefined];

const HALF_OPEN = { emitClose: false };
const WHOLE = { emitClose: false, allowHalfOpen: false };

/** A socket whose operating-system handle is in another thread. Where it can it does what net.Socket does, under the same names. */
export class BridgedSocket extends Duplex {
  bytesRead = 0;
  timeout: number | undefined;
  readonly #address: Address;
  readonly #line: Line;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Bytes of the chunk that is being written. */
  #writing = 0;
  /** Bytes that had been sent before it. */
  #sentBefore = 0;

  constructor(address: Address, line: Line, allowHalfOpen: boolean) {
    super(allowHalfOpen ? HALF_OPEN : WHOLE);
    this.#address = address;
    this.#line = line;
  }

  get remoteAddress(): string | undefined {
    return this.#address[0];
  }

  get remoteFamily(): string | undefined {
    return this.#address[1];
  }

  get remotePort(): number | undefined {
    return this.#address[2];
  }

  get localAddress(): string | undefined {
    return this.#address[3];
  }

  get localFamily(): string | undefined {
    return this.#address[4];
  }

  get localPort(): number | undefined {
    return this.#address[5];
  }

  /** It was connected before it came here. */
  get connecting(): boolean {
    return false;
  }

  /** As `connecting`. */
  get pending(): boolean {
    return false;
  }

  get bytesWritten(): number {
    const { bytesSent } = this.#line;
    // What of the chunk that is being written has been sent is among both.
    const counted = this.#writing === 0 ? 0 : bytesSent - this.#sentBefore;
    return bytesSent - counted + this.writableLength;
  }

  get readyState(): string {
    if (this.readable && this.writable) return 'open';
    if (this.readable) return 'readOnly';
    return this.writable ? 'writeOnly' : 'closed';
  }

  address(): object {
    if (this.localAddress === undefined) return {};
    return { address: this.localAddress, family: this.localFamily, port: this.localPort };
  }

  /** What waits for the socket is in the thread of its handle: this thread lives as long as its pool has work for it. */
  ref(): this {
    return this;
  }

  /** As `ref`. */
  unref(): this {
    return this;
  }

  setNoDelay(enable = true): this {
    this.#line.set(['setNoDelay', enable]);
    return this;
  }

  /** @param initialDelay - ms without traffic before the peer is asked whether it is still there */
  setKeepAlive(enable = false, initialDelay?: number): this {
    this.#line.set(['setKeepAlive', enable, initialDelay]);
    return this;
  }

  /** Emits 'timeout' after `ms` without traffic, as net.Socket does; 0 ends it. */
  setTimeout(ms: number, callback?: () => void): this {
    if (typeof ms !== 'number' || !(ms >= 0)) {
      throw new RangeError(`The timeout of a socket must be a number of ms, 0 or more: received ${show(ms)}`);
    }
    clearTimeout(this.#timer);
    // As net.Socket does: a longer delay would be none at all.
    this.timeout = Math.min(ms, LONGEST_TIMER);
    if (callback !== undefined) {
      if (ms === 0) this.off('timeout', callback);
      else this.once('timeout', callback);
    }
    this.touch();
    return this;
  }

  /** A loop that has read to the end does not destroy the socket: what was written in it has yet to go. */
  override [Symbol.asyncIterator](): NodeJS.AsyncIterator<unknown> {
    return this.iterator({ destroyOnReturn: false });
  }

  /** Destroys the socket when what was written has gone. */
  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once('finish', () => this.destroy());
  }

  /** Closes the connection so that its peer reads an error, not an end. */
  resetAndDestroy(): this {
    this.#line.reset();
    return this.destroy();
  }

  override push(chunk: unknown, encoding?: BufferEncoding): boolean {
    this.touch();
    if (chunk instanceof Uint8Array) this.bytesRead += chunk.length;
    return super.push(chunk, encoding);
  }

  override _read(): void {
    this.#line.read();
  }

  override _write(chunk: unknown, _encoding: BufferEncoding, done: (error?: Error) => void): void {
    this.touch();
    this.#writing = (chunk as Uint8Array).length;
    this.#sentBefore = this.#line.bytesSent;
    this.#line.write(chunk, (error) => {
      this.#writing = 0;
      done(error);
    });
  }

  override _final(done: () => void): void {
    this.#line.end(done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    clearTimeout(this.#timer);
    this.#line.destroy(error);
    done(error);
    // As net.Socket does, which tells whether it came of an error.
    process.nextTick(() => this.emit('close', error !== null));
  }

  /** There is traffic. */
  touch(): void {
    if (!this.timeout || this.destroyed) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.emit('timeout'), this.timeout).unref();
  }
}
