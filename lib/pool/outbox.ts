import { channels } from '#diagnostics';
import { discardValue, encodeValue } from '../comlink.js';
import { isFuture } from '../future.js';
import { DEFINE, FORGET, packRich, type RichDetails, TASKS } from '../wire/protocol.js';
import { cloneError, findUnclonable } from '../wire/unclonable.js';
import type { Connection } from './backend.js';
import type { Callable } from './callables.js';
import type { Task } from './task.js';

/** Most tasks in one message: larger ones gain nothing, and the worker would start later on them. */
const MOST_IN_BATCH = 256;

/** Tasks that did not go because something in them cannot be cloned, and the errors that say what. */
export interface Refusals {
  tasks: Task[];
  errors: unknown[];
}

/**
 * What goes to one worker by its task port: how tasks are put into messages, and in which message each went. Whoever sends
 * has given each task its slot and its number.
 */
export class Outbox {
  readonly #connection: Connection;
  readonly #sharedMemory: boolean;
  readonly #defined = new Set<Callable>();
  /** Messages posted. */
  #posted = 0;
  /** In which message the task of a slot was sent. */
  readonly #messages: number[] = [];
  /** The same as the connection counts, where it does. */
  readonly #sentBy: number[] = [];

  constructor(connection: Connection, sharedMemory: boolean) {
    this.#connection = connection;
    this.#sharedMemory = sharedMemory;
  }

  /** Sends tasks, in batches. */
  send(tasks: readonly Task[]): Refusals {
    const refused: Refusals = { tasks: [], errors: [] };
    let batch: unknown[] = [TASKS];
    let inBatch: Task[] = [];
    let callable: Callable | undefined;
    let counter = 0;
    const flush = () => {
      if (inBatch.length === 0) return;
      this.#postTasks(batch, inBatch, refused);
      batch = [TASKS];
      inBatch = [];
      callable = undefined;
    };
    for (const task of tasks) {
      if (!this.#defined.has(task.callable)) {
        this.#defined.add(task.callable);
        this.post([DEFINE, task.callable.id, task.callable.definition]);
      }
      if (task.rich || channels.taskStarted.hasSubscribers) {
        flush();
        this.#sendRich(task, refused);
        continue;
      }
      const shape = shapeOf(task);
      if (task.callable !== callable || shape !== batch[counter - 1]) {
        callable = task.callable;
        counter = batch.length + 2;
        batch.push(callable.id, shape, 0);
      }
      (batch[counter] as number)++;
      batch.push(task.number, task.slot);
      if (shape < 0) batch.push(task.id);
      for (const arg of task.args) batch.push(arg);
      inBatch.push(task);
      if (inBatch.length === MOST_IN_BATCH) flush();
    }
    flush();
    return refused;
  }

  /** Sends tasks again, each in a message of its own. */
  sendSingly(tasks: readonly Task[]): Refusals {
    const refused: Refusals = { tasks: [], errors: [] };
    for (const task of tasks) this.#sendRich(task, refused);
    return refused;
  }

  /** Posts a message that is about no task's arguments. */
  post(message: unknown[]): void {
    this.#post(message, []);
  }

  /** The pool will name this callable no more. */
  forget(callable: Callable): void {
    if (this.#defined.delete(callable)) this.post([FORGET, callable.id]);
  }

  /** Whether the task in a slot went in the message of that number, from 1. */
  wentIn(slot: number, message: number): boolean {
    return this.#messages[slot] === message;
  }

  /** Whether the worker has read the message of the task in a slot, when it has read so many. */
  wasRead(slot: number, read: number): boolean {
    return (this.#sentBy[slot] ?? 0) <= read;
  }

  /** Posts, and counts: the guest names a message that it cannot read by its number. */
  #post(message: unknown[], transfer: readonly unknown[], handle?: unknown): void {
    this.#connection.post(message, transfer, handle);
    this.#posted++;
  }

  #postSoon(message: unknown[]): void {
    this.#connection.postSoon?.(message);
    this.#posted++;
  }

  #postTasks(message: unknown[], tasks: readonly Task[], refused: Refusals): void {
    try {
      this.post(message);
      this.#noteSent(tasks);
    } catch (cause) {
      const [task] = tasks;
      if (tasks.length === 1 && task !== undefined) {
        this.#refuse(task, cause, refused);
        return;
      }
      // One of them cannot be cloned; nothing was sent.
      for (const each of tasks) this.#postTasks(flatMessage(each, each.args), [each], refused);
    }
  }

  #sendRich(task: Task, refused: Refusals): void {
    const { args, options, special } = task;
    const transfer: unknown[] = [...(options?.transfer ?? [])];
    const values: unknown[] = [];
    let movesForGood = transfer.length > 0;
    let handle: unknown;
    let soon = false;
    const details: RichDetails = {
      how: special === undefined || special === 'create' ? (special ?? 'call') : 'stream',
      attempt: task.attempt,
      id: task.id,
      tellBegin: this.#sharedMemory && tellsBegin(task),
      handled: [],
      adapts: typeof special === 'object' && special.adapts,
      endsQuietly: false,
    };
    let at: number | undefined;
    try {
      args.forEach((arg, position) => {
        at = position;
        if (typeof arg === 'object' && arg !== null && isFuture(arg))
          throw new TypeError('a Future stays where it was made; await it, and send its value');
        // One handle a message: the second of two sockets for a process is bridged.
        const handled = handle === undefined ? this.#connection.encode?.(arg) : undefined;
        if (handled !== undefined) {
          values.push(handled.value);
          details.handled.push([position, handled.handler]);
          transfer.push(...(handled.transfer ?? []));
          ({ handle } = handled);
          if (handled.endsQuietly === true) details.endsQuietly = true;
          if (handled.soon === true) soon = true;
          movesForGood = true;
          return;
        }
        const wire = encodeValue(arg);
        values.push(wire === undefined ? arg : wire.value);
        if (wire === undefined) return;
        transfer.push(...wire.transfer);
        if (wire.transfer.length > 0 && !isRenewed(wire.handler)) movesForGood = true;
        if (wire.handler !== undefined) details.handled.push([position, wire.handler]);
      });
      at = undefined;
      // The same stream may be an argument twice, and is moved once.
      const moved = [...new Set(transfer)];
      const message = isPlain(details, handle)
        ? flatMessage(task, values)
        : packRich(task.callable.id, task.number, task.slot, details, values);
      if (soon && moved.length === 0) this.#postSoon(message);
      else this.#post(message, moved, handle);
      if (task.extra !== undefined) task.extra.moved = movesForGood;
      this.#noteSent([task]);
    } catch (cause) {
      this.#refuse(task, cause, refused, values, transfer, at);
      // Nobody takes up what was made for this task alone.
      for (const [position, handler] of details.handled)
        if (isRenewed(handler)) discardValue(handler, values[position]);
    }
  }

  #noteSent(tasks: readonly Task[]): void {
    for (const { slot } of tasks) this.#messages[slot] = this.#posted;
    const { sent } = this.#connection;
    if (sent !== undefined) for (const { slot } of tasks) this.#sentBy[slot] = sent;
  }

  #refuse(
    task: Task,
    cause: unknown,
    refused: Refusals,
    values: unknown[] = task.args,
    transfer: unknown[] = [],
    /** The argument that could not be encoded. */
    at?: number,
  ): void {
    const { args, callable } = task;
    let error: unknown;
    // A handler that refuses an argument says best why.
    const isTold = at !== undefined && cause instanceof DOMException && cause.name === 'DataCloneError';
    for (let i = 0; i < args.length && error === undefined && !isTold; i++) {
      const found = findUnclonable(i < values.length ? values[i] : args[i], transfer, this.#connection.clone);
      if (found !== undefined) error = cloneError(`Argument ${String(i + 1)} of ${callable.name}`, found, cause);
    }
    const where = at === undefined ? 'An argument' : `Argument ${String(at + 1)}`;
    error ??= cloneError(`${where} of ${callable.name}`, undefined, cause);
    refused.tasks.push(task);
    refused.errors.push(error);
  }
}

/** Whether somebody here wants to hear of the beginning of a task. */
export function tellsBegin({ options }: Task): boolean {
  return options?.timeout !== undefined || channels.taskStarted.hasSubscribers;
}

/** Handlers that make a new port each time, so that their values can be sent again. */
function isRenewed(handler: string | undefined): boolean {
  return handler === 'proxy' || handler === 'signal';
}

/** Whether a task that travels alone needs no more than one in a batch; what it moves goes beside the message. */
function isPlain({ how, attempt, tellBegin, handled }: RichDetails, handle: unknown): boolean {
  return how === 'call' && attempt === 1 && !tellBegin && handled.length === 0 && handle === undefined;
}

/** A batch of one task. */
function flatMessage(task: Task, values: readonly unknown[]): unknown[] {
  const { callable, number, slot, id } = task;
  const shape = shapeOf(task);
  const head = shape < 0 ? [number, slot, id] : [number, slot];
  return [TASKS, callable.id, shape, 1, ...head, ...values];
}

/** How the entry of a task in a batch looks. */
function shapeOf({ args, id, number }: Task): number {
  return id === number ? args.length : ~args.length;
}
