/**
 * The soak: random submits, cancels, aborts, timeouts, kills, resizes and shutdowns against a model. What has to hold:
 *
 * - every task accepted ends, and ends as its kind allows: with its own result or error, or with what was done to it;
 * - a task that is said to be cancelled was never run; one that ended otherwise was run once, and once more for each retry;
 * - counters add up at every moment;
 * - at the end no handle, listener or port is left, and memory is back where it was.
 */
import { type ChildProcess } from 'node:child_process';
import diagnosticsChannel from 'node:diagnostics_channel';
import { getEventListeners } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Worker } from 'node:worker_threads';
import { BrokenExecutor, type Future, QueueFullError, TimeoutError, WorkerDiedError } from 'concurrent-futures';
import * as tasks from '../fixtures/soak-tasks.js';
import { collectGarbage } from '../support/garbage.js';
import { Tally, type TallyToken } from '../support/gate.js';
import type { Capabilities, MakeExecutor, Pool } from '../support/pool-under-test.js';
import { eventually, settled, turns } from '../support/watchdog.js';
import { Random } from './random.js';

export interface SoakOptions {
  seed: number;
  makeExecutor: MakeExecutor;
  capabilities: Capabilities;
  /** Random actions, unless time is up before. */
  steps: number;
  /** ms after which no further action is begun. @default no limit */
  ms?: number;
}

/** What a run has done. */
export interface SoakReport {
  steps: number;
  executors: number;
  submitted: number;
  completed: number;
  failed: number;
  cancelled: number;
  /** Deaths brought about, in whatever way. */
  deaths: number;
}

/** bytes that the heap may have grown: the engine's own caches, and compiled code. */
const HEAP_SLACK = 6 * 2 ** 20;
/** Tasks that wait or run before the soak waits for them. */
const MOST_PENDING = 300;
/** The most tasks of one run: the size of its tally. */
const MOST_TASKS = 400_000;

const KINDS = {
  number: 40,
  text: 15,
  nap: 12,
  spin: 5,
  fail: 8,
  giveFunction: 3,
  takeFunction: 3,
  takeBuffer: 4,
  exit: 0.6,
  exitFirst: 0.6,
  stray: 0.6,
  loop: 0.8,
  hang: 1,
};
type Kind = keyof typeof KINDS;

const ACTIONS = {
  submit: 45,
  cancel: 12,
  check: 10,
  pause: 10,
  await: 6,
  abort: 5,
  resize: 5,
  map: 4,
  join: 3,
  kill: 3,
  shutdown: 2,
  terminate: 0.7,
};
type Action = keyof typeof ACTIONS;

/** A task, and all that may become of it. */
interface Entry {
  index: number;
  kind: Kind;
  future: Future<unknown>;
  retries: number;
  limited: boolean;
  controller: AbortController | undefined;
}

/** One executor of the run, and what was done to it. */
interface Life {
  pool: Pool;
  concurrency: number;
  entries: Entry[];
  /** What may have ended a worker under a task that did nothing wrong. */
  violence: number;
  /** What may have ended a worker at all. */
  deaths: number;
  terminated: boolean;
  controllers: AbortController[];
}

export async function soak(options: SoakOptions): Promise<SoakReport> {
  const run = new Soak(options);
  try {
    return await run.run();
  } catch (error) {
    const where = `The soak with seed ${String(options.seed)} failed at step ${String(run.report.steps)}`;
    throw new Error(`${where}; ${run.describe()}`, { cause: error });
  } finally {
    await run.takeDown();
  }
}

class Soak {
  readonly report: SoakReport = {
    steps: 0,
    executors: 0,
    submitted: 0,
    completed: 0,
    failed: 0,
    cancelled: 0,
    deaths: 0,
  };
  readonly #options: SoakOptions;
  readonly #random: Random;
  readonly #workers = new Set<Worker | ChildProcess>();
  #tally: Tally | undefined;
  #life: Life | undefined;
  #nextIndex = 0;

  constructor(options: SoakOptions) {
    this.#options = options;
    this.#random = new Random(options.seed);
  }

  async run(): Promise<SoakReport> {
    const { steps, ms = Infinity, capabilities } = this.#options;
    const notice = (message: unknown) => {
      const { worker, process: child } = message as { worker?: Worker; process?: ChildProcess };
      const started = worker ?? child;
      if (started === undefined) return;
      this.#workers.add(started);
      started.once('exit', () => this.#workers.delete(started));
    };
    const channels = ['worker_threads', 'child_process'];
    for (const channel of channels) diagnosticsChannel.subscribe(channel, notice);
    this.#tally = new Tally(capabilities.sharedMemory, capabilities.sharedMemory ? MOST_TASKS : 1);
    try {
      const before = await this.#measure();
      const end = performance.now() + ms;
      while (this.report.steps < steps && performance.now() < end && this.#nextIndex < MOST_TASKS - 1000) {
        this.report.steps++;
        await this.#act(this.#random.weighted(ACTIONS));
      }
      await this.#endLife({});
      await this.#compare(before);
      return this.report;
    } finally {
      for (const channel of channels) diagnosticsChannel.unsubscribe(channel, notice);
    }
  }

  async takeDown(): Promise<void> {
    await this.#life?.pool.terminateWorkers();
    this.#tally?.[Symbol.dispose]();
  }

  /** What is there now, for the report of a failure. */
  describe(): string {
    const life = this.#life;
    if (life === undefined) return 'no executor is there';
    const { workers, idle, busy, queued, running } = life.pool.stats();
    const pending = life.entries.filter(({ future }) => !future.done());
    const kinds = pending.map(({ kind, index, future }) => `${kind} ${String(index)} ${future.toString()}`);
    return `${JSON.stringify({ workers, idle, busy, queued, running })}, pending: ${kinds.join(', ')}`;
  }

  async #act(action: Action): Promise<void> {
    const random = this.#random;
    const life = (this.#life ??= this.#begin());
    const { pool, entries } = life;
    switch (action) {
      case 'submit':
        await this.#submitSome(life);
        break;
      case 'cancel':
        for (let n = random.whole(1, 10); n > 0; n--) {
          const future = random.pick(entries)?.future;
          if (future !== undefined && future.cancel() !== future.cancelled()) throw new Error('cancel() did not tell');
        }
        break;
      case 'check':
        checkCounters(pool);
        break;
      case 'pause':
        await turns(random.whole(1, 3));
        break;
      case 'await': {
        this.#stopEndless(life);
        const future = random.pick(entries)?.future;
        if (future !== undefined) await settled(future.exception().catch(nothing), 'a future');
        break;
      }
      case 'abort':
        random.pick(life.controllers)?.abort(new Error('aborted by the soak'));
        break;
      case 'resize':
        // Who waits for it waits for tasks that may have no end of their own.
        void pool.resize({ maxWorkers: random.whole(1, 3), minSpareWorkers: random.whole(0, 1) });
        break;
      case 'map':
        await this.#map(life);
        break;
      case 'join':
        this.#stopEndless(life);
        await settled(pool.join(), 'join()');
        if (!entries.every(({ future }) => future.done())) throw new Error('join() left tasks behind');
        break;
      case 'kill':
        await this.#kill(life);
        break;
      case 'shutdown':
        await this.#endLife({ wait: random.chance(0.7), cancelFutures: random.chance(0.5) });
        break;
      case 'terminate':
        life.terminated = true;
        await settled(pool.terminateWorkers(), 'terminateWorkers()');
        await this.#endLife({});
    }
  }

  #begin(): Life {
    const random = this.#random;
    this.report.executors++;
    const concurrency = random.pick([1, 1, 3]) ?? 1;
    const pool = this.#options.makeExecutor({
      maxWorkers: random.whole(1, 3),
      minWorkers: random.whole(0, 1),
      minSpareWorkers: random.whole(0, 1),
      idleTimeout: random.pick([0, 5, 60_000]) ?? 0,
      concurrentTasksPerWorker: concurrency,
      onWorkerError: nothing,
      // What ends a process is no news here.
      workerOptions: this.#options.capabilities.ownProcess ? { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] } : {},
      ...(random.chance(0.3) ? { maxTasksPerWorker: random.whole(3, 20) } : {}),
      ...(random.chance(0.3) ? { maxQueueSize: random.whole(0, 40) } : {}),
    });
    return { pool, concurrency, entries: [], violence: 0, deaths: 0, terminated: false, controllers: [] };
  }

  async #submitSome(life: Life): Promise<void> {
    const random = this.#random;
    for (let n = random.whole(1, 30); n > 0; n--) {
      const kind = random.weighted(KINDS);
      const limited = kind === 'loop' || (kind === 'hang' && random.chance(0.5)) || random.chance(0.03);
      const controller = (kind === 'hang' && !limited) || random.chance(0.05) ? this.#controller(life) : undefined;
      const retries = kind === 'exitFirst' || random.chance(0.05) ? 1 : 0;
      const index = this.#nextIndex++;
      const bound = life.pool.with({
        retries,
        priority: random.chance(0.1) ? random.whole(-2, 2) : 0,
        ...(limited ? { timeout: isEndless(kind) ? random.whole(5, 20) : 60_000 } : {}),
        ...(controller === undefined ? {} : { signal: controller.signal }),
      });
      let future: Future<unknown>;
      try {
        future = submitKind(bound, kind, this.#token, index, random.whole(0, 4));
      } catch (error) {
        if (error instanceof QueueFullError) {
          this.#stopEndless(life);
          await settled(life.pool.ready(), 'ready()');
          continue;
        }
        if (error instanceof BrokenExecutor && life.deaths >= 10) {
          await this.#endLife({});
          return;
        }
        throw error;
      }
      if (kind === 'exit' || kind === 'exitFirst' || kind === 'stray') {
        life.deaths += 1 + retries;
        this.report.deaths++;
      }
      // Its neighbours in the worker end with it; a stray error comes when others may run.
      if (kind === 'stray' || (isDeadly(kind) && life.concurrency > 1)) life.violence++;
      life.entries.push({ index, kind, future, retries, limited: limited && isEndless(kind), controller });
    }
    if (life.entries.filter(({ future }) => !future.done()).length > MOST_PENDING) await this.#act('join');
  }

  async #map(life: Life): Promise<void> {
    const random = this.#random;
    const first = this.#nextIndex;
    const indices = Array.from({ length: random.whole(1, 30) }, (_, i) => first + i);
    this.#nextIndex += indices.length;
    this.#stopEndless(life);
    const enough = random.whole(0, 40);
    const given: unknown[] = [];
    let results: ReturnType<Pool['map']> | undefined;
    try {
      results = life.pool.map(
        tasks.number,
        indices.map(() => this.#token),
        indices,
        random.chance(0.5) ? { buffersize: random.whole(1, 5) } : {},
      );
      for (let n = 0; n < enough; n++) {
        const step = await settled(results.next(), 'a result of map()');
        if (step.done === true) break;
        given.push(step.value);
      }
    } catch (error) {
      if (!(error instanceof BrokenExecutor) || life.deaths + life.violence === 0) throw error;
    } finally {
      await settled(Promise.resolve(results?.return()), 'the end of map()');
    }
    const expected = indices.slice(0, given.length);
    if (String(given) !== String(expected)) throw new Error(`map() gave ${String(given)} for ${String(expected)}`);
  }

  async #kill(life: Life): Promise<void> {
    const victim = this.#random.pick([...this.#workers]);
    if (victim === undefined) return;
    life.violence++;
    life.deaths++;
    this.report.deaths++;
    if ('terminate' in victim) await settled(victim.terminate(), 'the end of a thread');
    else victim.kill('SIGKILL');
  }

  /** A signal for a task; several tasks share one now and then. */
  #controller(life: Life): AbortController {
    const known = this.#random.chance(0.5) ? this.#random.pick(life.controllers) : undefined;
    if (known?.signal.aborted === false) return known;
    const made = new AbortController();
    life.controllers.push(made);
    return made;
  }

  /** Stops what has no end of its own, before somebody waits for it. */
  #stopEndless(life: Life): void {
    for (const { controller, kind, limited } of life.entries) {
      if (isEndless(kind) && !limited) controller?.abort(new Error('aborted by the soak'));
    }
  }

  async #endLife(options: { wait?: boolean; cancelFutures?: boolean }): Promise<void> {
    const life = this.#life;
    if (life === undefined) return;
    const ended = life.pool.shutdown(options);
    this.#stopEndless(life);
    await settled(ended, 'shutdown()');
    await settled(life.pool.shutdown(), 'shutdown() that waits');
    this.#life = undefined;
    const stats = checkCounters(life.pool);
    if (stats.queued + stats.running + stats.workers > 0) throw new Error(`shutdown() left ${JSON.stringify(stats)}`);
    const runs = this.#runs();
    for (const entry of life.entries) judge(entry, life, runs(entry.index));
    for (const { signal } of life.controllers) {
      if (getEventListeners(signal, 'abort').length > 0) throw new Error('A listener was left on a signal');
    }
    for (const key of ['submitted', 'completed', 'failed', 'cancelled'] as const) this.report[key] += stats[key];
  }

  get #token(): TallyToken {
    if (this.#tally === undefined) throw new Error('The soak has not begun');
    return this.#tally.token;
  }

  /** Tells how often a task was run. */
  #runs(): (index: number) => number {
    const token = this.#token;
    if (typeof token !== 'string') return (index) => Atomics.load(token, index);
    const counts = new Map<number, number>();
    for (const line of readFileSync(join(token, 'touched'), 'utf8').split('\n')) {
      counts.set(Number(line), (counts.get(Number(line)) ?? 0) + 1);
    }
    return (index) => counts.get(index) ?? 0;
  }

  async #measure(): Promise<{ heap: number; resources: string[] }> {
    // What is loaded and compiled by the first use is no leak.
    const pool = this.#begin().pool;
    await settled(pool.map(tasks.number, [this.#token], [this.#nextIndex++]), 'the first task');
    await settled(pool.shutdown(), 'the first shutdown()');
    await collectGarbage();
    return { heap: process.memoryUsage().heapUsed, resources: process.getActiveResourcesInfo() };
  }

  async #compare(before: { heap: number; resources: string[] }): Promise<void> {
    if (this.#workers.size > 0) throw new Error(`${String(this.#workers.size)} workers are left`);
    const left = () => surplus(process.getActiveResourcesInfo(), before.resources);
    // Timers of the watchdogs go with their turn.
    await eventually(() => left().length === 0, `the end of all handles`).catch((cause: unknown) => {
      throw new Error(`Handles are left: ${left().join()}`, { cause });
    });
    await collectGarbage();
    const grown = process.memoryUsage().heapUsed - before.heap;
    if (grown > HEAP_SLACK) throw new Error(`The heap has grown by ${String(grown)} bytes`);
  }
}

const nothing = (): undefined => undefined;

/** Whether it ends only when it is stopped. */
function isEndless(kind: Kind): boolean {
  return kind === 'loop' || kind === 'hang';
}

/** Whether its end may be the end of its worker. */
function isDeadly(kind: Kind): boolean {
  return kind === 'exit' || kind === 'exitFirst' || kind === 'stray' || kind === 'loop';
}

function submitKind(
  bound: ReturnType<Pool['with']>,
  kind: Kind,
  tally: TallyToken,
  index: number,
  ms: number,
): Future<unknown> {
  switch (kind) {
    case 'nap':
      return bound.submit(tasks.nap, tally, index, ms);
    case 'spin':
      return bound.submit(tasks.spin, tally, index, ms);
    case 'takeFunction':
      return bound.submit(tasks.takeFunction, tally, index, () => 1);
    case 'takeBuffer':
      return bound.submit(tasks.takeBuffer, tally, index, new ArrayBuffer(8));
    default:
      return bound.submit<[TallyToken, number], unknown>(tasks[kind], tally, index);
  }
}

function checkCounters(pool: Pool): ReturnType<Pool['stats']> {
  const stats = pool.stats();
  const { submitted, completed, failed, cancelled, queued, running, workers, idle, busy } = stats;
  const sum = completed + failed + cancelled + queued + running;
  if (submitted !== sum || workers !== idle + busy || Math.min(queued, running, idle, busy) < 0) {
    throw new Error(`Counters do not add up: ${JSON.stringify(stats)}`);
  }
  return stats;
}

/** Throws when a task has ended in a way that it must not. */
function judge(entry: Entry, life: Life, runs: number): void {
  const { index, kind, future, retries, limited, controller } = entry;
  const outcome = future.outcome();
  const refuse = (why: string): never => {
    const end: unknown = outcome?.status === 'rejected' ? outcome.reason : outcome?.value;
    throw new Error(`Task ${String(index)} (${kind}), run ${String(runs)} times: ${why}`, { cause: end });
  };
  if (outcome === undefined) return refuse('it has not ended');
  if (future.cancelled()) {
    if (runs > 0) refuse('it was cancelled and run');
    return;
  }
  if (runs > 1 + retries) refuse('it was run too often');
  if (outcome.status === 'fulfilled') {
    const expected = kind === 'text' ? `task ${String(index)}` : index;
    if (outcome.value !== expected) refuse('it has the wrong value');
    if (isEndless(kind) || kind === 'fail' || kind === 'exit') refuse('it cannot have succeeded');
    // Killed before it had left its mark, even `exitFirst` may have left one only.
    if (runs === 0) refuse('it has a result and was not run');
    return;
  }
  const reason: unknown = outcome.reason;
  if (reason instanceof WorkerDiedError) {
    if (kind !== 'exit' && kind !== 'exitFirst' && life.violence === 0) refuse('nothing has ended its worker');
    return;
  }
  if (reason instanceof BrokenExecutor) {
    if (!life.terminated && life.deaths < 10) refuse('nothing has broken the pool');
    return;
  }
  if (reason instanceof TimeoutError) {
    if (!limited) refuse('it was under no time limit');
    return;
  }
  if (controller?.signal.aborted === true && reason === controller.signal.reason) return;
  const { name, message } = reason as Error;
  if (kind === 'fail' && name === 'RangeError' && message === `task ${String(index)}`) {
    if (runs === 0) refuse('it threw and was not run');
    return;
  }
  if (name === 'DataCloneError' && (kind === 'giveFunction' || kind === 'takeFunction')) {
    if (runs > 0 !== (kind === 'giveFunction')) refuse('it was run, or not, against what its error says');
    return;
  }
  refuse('it has an error that it cannot have');
}

/** What is in `now` more often than in `before`. */
function surplus(now: string[], before: string[]): string[] {
  const left = [...before];
  return now.filter((name) => {
    const at = left.indexOf(name);
    if (at >= 0) left.splice(at, 1);
    return at < 0;
  });
}
