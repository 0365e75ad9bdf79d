/** The port to the host, seen from a guest. */
export interface GuestPort {
  postMessage(message: unknown, transfer?: readonly unknown[]): void;
  /** Tells of a task that has ended and gave nothing, with others that end in the same turn of the event loop. */
  postEnd?(slot: number, number: number, began: number, ended: number): void;
  /** Whether much of what was posted has not left yet; where it always has, there is no such thing. */
  isCongested?(): boolean;
  /** Resolves when it has left. */
  whenClear?(): Promise<void>;
  /** Throws for what it cannot send although structured cloning can. */
  clone?: (value: unknown) => unknown;
}
