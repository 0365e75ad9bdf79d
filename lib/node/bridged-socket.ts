import type { AddressInfo, Socket } from 'node:net';
import { Duplex, type DuplexOptions } from 'node:stream';
import { show } from '../options.js';

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
  /** Has the connection reset. */
  reset(): void;
}

/** A socket whose operating-system handle is in another thread. Where it can it does what net.Socket does, under the same names. */
export class BridgedSocket extends Duplex {
  bytesRead = 0;
  timeout: number | undefined;
  readonly remoteAddress: string | undefined;
  readonly remoteFamily: string | undefined;
  readonly remotePort: number | undefined;
  readonly localAddress: string | undefined;
  readonly localFamily: string | undefined;
  readonly localPort: number | undefined;

  readonly #line: Line;

  constructor(options: DuplexOptions, address: Address, line: Line) {
    super({
      ...options,
      write: (chunk, encoding, done) => {
        this.touch();
        options.write?.call(this, chunk, encoding, done);
      },
    });
    this.#line = line;
    [this.remoteAddress, this.remoteFamily, this.remotePort, this.localAddress, this.localFamily, this.localPort] =
      address;
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
    return this.#line.bytesSent + this.writableLength;
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

  /** The handle is in another thread, where nothing is delayed. */
  setNoDelay(): this {
    return this;
  }

  /** As `setNoDelay`: left to the thread of the handle. */
  setKeepAlive(): this {
    return this;
  }

  /** Emits 'timeout' after `ms` without traffic, as net.Socket does; 0 ends it. */
  setTimeout(ms: number, callback?: () => void): this {
    if (typeof ms !== 'number' || !(ms >= 0)) {
      throw new RangeError(`The timeout of a socket must be a number of ms, 0 or more: received ${show(ms)}`);
    }
    clearTimeout(this.#timer);
    this.timeout = ms;
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

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    clearTimeout(this.#timer);
    super._destroy(error, callback);
  }

  #timer: ReturnType<typeof setTimeout> | undefined;

  /** There is traffic. */
  touch(): void {
    if (!this.timeout || this.destroyed) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.emit('timeout'), this.timeout).unref();
  }
}
