/**
 * What host and guest say to each other. A worker is reached by two ways: Comlink calls on its own channel, of which the
 * one that lasts is `serve`; and, as long as that call lasts, the port that it was given, on which tasks travel in
 * batches. Beside the port lies a table in shared memory, where the platform has it: see `ClaimTable`.
 *
 * A batch is one flat array, because structured cloning pays for each object and not for each number:
 *
 *     [TASKS, callable, argc, count, (number, slot, ...args) × count, callable, argc, count, ...]
 *
 * For tasks that are sent again, whose entries are `(number, slot, id, ...args)`, it says `~argc`. A task whose arguments or
 * options need more than that travels alone, as RICH.
 */
export const TASKS = 0;
/** `[DEFINE, callable, definition]`, before the first task that names the callable. */
export const DEFINE = 1;
/** `[FORGET, callable]`: no further task will name it. */
export const FORGET = 2;
/** One task, as `packRich` puts it. */
export const RICH = 3;
/** `[ABORT, number, reason]`: fires the signal of a task. */
export const ABORT = 4;
/** `[PING, n]`, answered by `[PONG, n]`: tells a thread that waits from one that is blocked. */
export const PING = 5;

/** `[CREDIT, number, items, sent?]`: the reader of a stream wants that many more; `sent` holds a value for the generator. */
export const CREDIT = 6;
/** `[RETURN, number]`: the reader of a stream wants no more. */
export const RETURN = 7;

/** `[ASK]`, answered by `[HAS, number, ...]`: the tasks that the guest has begun and not ended. */
export const ASK = 9;
/** See `ASK`. */
export const HAS = 11;

/** `[PORTS, id, message, ...]`, in both directions: messages of ports that share the task port; `null` says that one was closed. */
export const PORTS = 20;

/** `[END]`: the worker has nothing to do and is wanted no more. */
export const END = 8;

/** Guest to host: results lie in the ring. The cheapest message there is. */
export const BELL = 0;
/** `[RESULT, slot, number, began, ended, value, handler?]` */
export const RESULT = 1;
/** `[FAILURE, slot, number, began, ended, error]` */
export const FAILURE = 2;
/** `[ENDED, (slot, number, began, ended) × count]`: tasks whose end is told late, and that gave nothing. */
export const ENDED = 10;
/** `[BEGUN, slot, number, began]`, for tasks that asked for it. */
export const BEGUN = 3;
/** `[READY]`: the initializer has ended well. */
export const READY = 4;
/** `[INITIALIZER_FAILED, error]` */
export const INITIALIZER_FAILED = 5;
/** `[UNREADABLE, count]`: the message of the host that was the count-th by this port cannot be read. */
export const UNREADABLE = 9;
/** `[LINGERS]`: the worker was told to end, and takes a while to do so in order. */
export const LINGERS = 12;
/** `[PONG, n]` */
export const PONG = 6;

/**
 * `[ITEMS, slot, number, items, handled, credit?]`: what a stream yields; `handled` as in RichDetails, by position in `items`;
 * `credit` is given back.
 */
export const ITEMS = 7;

/** `[LOADING, slot, number, loading]`: a task waits for its module, or does no more. Its function has not been called. */
export const LOADING = 8;

/** How a guest finds a callable. */
export type Definition =
  | { kind: 'source'; name: string; source: string; base: string | undefined }
  | { kind: 'named'; name: string; url: string | undefined };

/** What a RICH task says beyond its arguments. */
export interface RichDetails {
  /** Call it, run it as a generator, or construct an object of it. */
  how: 'call' | 'stream' | 'create';
  /** What the task is called: the number of its first sending. */
  id: number;
  /** Which attempt this is, from 1. */
  attempt: number;
  /** Whether the host wants to hear of the beginning, because a time limit runs from there. */
  tellBegin: boolean;
  /** Arguments that a transfer handler encoded: position and name of the handler. */
  handled: [position: number, handler: string][];
  /** What it gives is not told, and its end may be together with others, at the end of the turn of the event loop. */
  endsQuietly: boolean;
  /** For streams: whether the reader's credit follows the speed of the items, so that it may be given back. */
  adapts: boolean;
}

const HOW: readonly RichDetails['how'][] = ['call', 'stream', 'create'];
const HOW_BITS = 3;
const TELL_BEGIN = 4;
const ENDS_QUIETLY = 8;
const ADAPTS = 16;
/** Where the pairs of `handled` begin, after their number. */
const HANDLED_FROM = 8;

/** `[RICH, callable, number, slot, flags, id, attempt, handlers, (position, handler) × handlers, ...args]`: flat, as a batch is. */
export function packRich(
  callable: number,
  number: number,
  slot: number,
  details: RichDetails,
  args: readonly unknown[],
): unknown[] {
  const { how, id, attempt, tellBegin, handled, endsQuietly, adapts } = details;
  let flags = HOW.indexOf(how);
  if (tellBegin) flags |= TELL_BEGIN;
  if (endsQuietly) flags |= ENDS_QUIETLY;
  if (adapts) flags |= ADAPTS;
  const message: unknown[] = [RICH, callable, number, slot, flags, id, attempt, handled.length];
  for (const [position, handler] of handled) message.push(position, handler);
  for (const arg of args) message.push(arg);
  return message;
}

type Numbers = [number, number, number, number, number, number, number, number];

/** `[RICH, callable, number, slot, details, args]` */
export function unpackRich(message: readonly unknown[]): unknown[] {
  const [, callable, number, slot, flags, id, attempt, handlers] = message as Numbers;
  const handled: RichDetails['handled'] = [];
  let at = HANDLED_FROM;
  for (let i = 0; i < handlers; i++, at += 2) handled.push([message[at] as number, message[at + 1] as string]);
  const details: RichDetails = {
    how: HOW[flags & HOW_BITS] as RichDetails['how'],
    id,
    attempt,
    tellBegin: (flags & TELL_BEGIN) !== 0,
    handled,
    endsQuietly: (flags & ENDS_QUIETLY) !== 0,
    adapts: (flags & ADAPTS) !== 0,
  };
  return [RICH, callable, number, slot, details, message.slice(at)];
}

/** Where in a packed RICH task the argument stands that this handler encoded; undefined when there is none. */
export function findHandled(message: readonly unknown[], handler: string): number | undefined {
  const handlers = message[HANDLED_FROM - 1] as number;
  const args = HANDLED_FROM + 2 * handlers;
  for (let at = HANDLED_FROM; at < args; at += 2) {
    if (message[at + 1] === handler) return args + (message[at] as number);
  }
  return undefined;
}

/** What each worker runs first. */
export interface Initializer {
  definition: Definition;
  args: unknown[];
  /** Which of them a transfer handler encoded, and its name. */
  handled: [position: number, handler: string][];
}

/** The argument of the one lasting Comlink call. */
export interface ServeConfig {
  port: unknown;
  /** The memory of the claim table; undefined where host and guest share none. */
  memory: SharedArrayBuffer | undefined;
  worker: string;
  /** Tasks interleaved in this worker. */
  concurrency: number;
  initializer: Initializer | undefined;
}

/** What a guest exposes through Comlink. */
export interface GuestApi {
  /** Runs the tasks that arrive on the port; lasts as long as the worker. */
  serve(config: ServeConfig): Promise<void>;
}
