import { encodeValue } from '../comlink.js';
import type { Definition, Initializer } from '../wire/protocol.js';
import { cloneError, findUnclonable } from '../wire/unclonable.js';

/** What the user has each worker run first. */
export interface InitialCall {
  definition: Definition;
  args: readonly unknown[];
}

/** The initializer as it crosses, to each worker anew; and what of it is moved there. */
export function encodeInitializer({ definition, args }: InitialCall): { initializer: Initializer; moved: unknown[] } {
  const handled: Initializer['handled'] = [];
  const moved: unknown[] = [];
  const encoded = args.map((arg, i) => {
    const wire = encodeValue(arg);
    // What is only to be moved is copied: there are other workers.
    if (wire?.handler === undefined) return arg;
    handled.push([i, wire.handler]);
    moved.push(...wire.transfer);
    return wire.value;
  });
  return { initializer: { definition, args: encoded, handled }, moved };
}

/** Why a worker could not be told what it is for: most likely an argument of its initializer cannot be sent. */
export function unsentInitializer(
  initializer: Initializer | undefined,
  cause: unknown,
  clone: ((value: unknown) => unknown) | undefined,
): unknown {
  for (const [i, arg] of (initializer?.args ?? []).entries()) {
    const found = findUnclonable(arg, [], clone);
    const where = `Argument ${String(i + 1)} of the initializer ${String(initializer?.definition.name)}`;
    if (found !== undefined) return cloneError(where, found, cause);
  }
  return cause;
}
