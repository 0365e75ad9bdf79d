/** What a message of a port is for, where somebody waits for it, and has to be told when it cannot be sent or read. */
export type Purpose = [what: 'call' | 'answer', id: string] | [what: 'reason'];

/** What Comlink's messages are called. */
const CALLS = new Set<unknown>(['GET', 'SET', 'APPLY', 'CONSTRUCT', 'ENDPOINT']);
const ANSWERS = new Set<unknown>(['RAW', 'HANDLER']);

/** The purpose of a message; undefined for those of users' own ports. */
export function purposeOf(message: unknown): Purpose | undefined {
  if (typeof message !== 'object' || message === null) return undefined;
  const { id, type, nodes } = message as { id?: unknown; type?: unknown; nodes?: unknown };
  // Of a signal that was aborted.
  if (Array.isArray(nodes)) return ['reason'];
  if (typeof id !== 'string') return undefined;
  if (CALLS.has(type)) return ['call', id];
  return ANSWERS.has(type) ? ['answer', id] : undefined;
}
