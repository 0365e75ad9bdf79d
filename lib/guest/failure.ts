import { describe } from '../options.js';
import { withoutOwnFrames } from '../site.js';
import { encodeError, type WireError } from '../wire/errors.js';
import { findUnclonable } from '../wire/unclonable.js';
import type { GuestPort } from './port.js';

/** What a function of the user's has thrown, as it is sent: its stack without the frames of this package. */
export function encodeFailure(error: unknown): WireError {
  const wire = encodeError(error);
  for (const node of wire.nodes) {
    if (node.kind === 'error' && node.stack !== undefined) node.stack = withoutOwnFrames(node.stack);
  }
  return wire;
}

/** Posts a message that ends with an error. What of that can be cloned, but not be sent by this port, is described there. */
export function postError(port: GuestPort, head: readonly unknown[], wire: WireError): void {
  try {
    port.postMessage([...head, wire]);
  } catch {
    wire.nodes = wire.nodes.map((node) => {
      if (node.kind !== 'value' || findUnclonable(node.value, [], port.clone) === undefined) return node;
      return { kind: 'value', value: `[${describe(node.value)}]` };
    });
    port.postMessage([...head, wire]);
  }
}
