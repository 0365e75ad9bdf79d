import type { Socket } from 'node:net';

/** The operating system's side of a socket, of which there is no public way to be told. */
export interface RawHandle {
  /** Below 0 once it is closed. */
  readonly fd?: number;
  readStart(): void;
  readStop(): void;
  close(): void;
}

/** Undefined when the socket has none, or none any more. */
export function rawHandle(socket: Socket): RawHandle | undefined {
  return (socket as unknown as { _handle?: RawHandle | null })._handle ?? undefined;
}
