import type { SharedStoreMaker } from '../wire/claim-table.js';
import type { NamedHandler } from '../wire/handlers.js';

/** Browsers have no values of their own beyond the common ones. */
export const platformHandlers: NamedHandler[] = [];

/** Browsers have no serializer to call: all that is not plain goes by message. */
export const pack: (value: unknown) => Uint8Array | undefined = () => undefined;

/** @throws Error always: nothing is packed in browsers */
export const unpack: (bytes: Uint8Array) => unknown = () => {
  throw new Error('Nothing is packed in browsers');
};

/** Browsers write no text to shared memory, and have no bytes of BigInts. */
export const sharedStore: SharedStoreMaker | undefined = undefined;
