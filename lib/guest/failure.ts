import { withoutOwnFrames } from '../site.js';
import { encodeError, type WireError } from '../wire/errors.js';

/** What a function of the user's has thrown, as it is sent: its stack without the frames of this package. */
export function encodeFailure(error: unknown): WireError {
  const wire = encodeError(error);
  for (const node of wire.nodes) {
    if (node.kind === 'error' && node.stack !== undefined) node.stack = withoutOwnFrames(node.stack);
  }
  return wire;
}
