/**
 * The crash grid: everything that can go wrong in a worker, at every moment of its life. Each cell has its expected end,
 * a watchdog on every wait, and ten further tasks that succeed.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { expect } from 'chai';
import { CancelledError, type Future, TimeoutError, WorkerDiedError } from 'concurrent-futures';
import {
  type Harm,
  HARM,
  HarmfulValue,
  HARMS,
  isModuleHarm,
  learnHarms,
  type Order,
  returnHarmful,
  suffer,
  sufferBehind,
  sufferFirst,
  sufferLater,
  sufferModule,
  takeValue,
} from '../fixtures/harms.js';
import { add } from '../fixtures/tasks.js';
import { Gate, passGateAsync } from '../support/gate.js';
import {
  type Bench,
  type Capabilities,
  type MakeExecutor,
  type Pool,
  type PoolOptions,
  useBench,
} from '../support/pool-under-test.js';
import { eventually, instance, rejectionAs, rejectionOf, settled, thrownBy } from '../support/watchdog.js';

const MOMENTS = [
  'while it starts',
  'in its initializer',
  'while it is idle',
  'while it reads the arguments',
  'while it runs a task',
  'while it runs several tasks',
  'while it encodes the result',
  'while it ends',
  'during shutdown()',
] as const;
type Moment = (typeof MOMENTS)[number];

/** Cells that would say nothing new, and why. */
const NOT_TESTED: Partial<Record<Moment, Partial<Record<Harm, string>>>> = {
  'while it is idle': {
    throws: 'nothing runs in an idle worker but timers and rejections, which have rows of their own',
  },
};
const SYNCHRONOUS = 'values are read and encoded synchronously, and modules load asynchronously';
for (const harm of HARMS.filter(isModuleHarm)) {
  for (const moment of ['while it reads the arguments', 'while it encodes the result'] as const) {
    (NOT_TESTED[moment] ??= {})[harm] = SYNCHRONOUS;
  }
}

/** ms for a task that would never end. */
const TIME_LIMIT = 100;

const WORKER = new URL('../fixtures/harmed-worker.js', import.meta.url);

const range = (length: number): number[] => Array.from({ length }, (_, i) => i);

function tenTasks(pool: Pool): Promise<number[]> {
  return Promise.all(range(10).map((i) => pool.submit(add, i, 1)));
}

async function tenSucceed(tasks: PromiseLike<number[]>): Promise<void> {
  expect(await settled(tasks, 'ten further tasks')).to.deep.equal(range(11).slice(1));
}

/** A harm to come, the pool that it will come to, and what that reported. */
class Scene implements Disposable {
  readonly order: Order;
  readonly strays: unknown[] = [];
  readonly #bench: Bench;
  readonly #ownProcess: boolean;
  readonly #gate = new Gate(false);
  readonly #door = new Gate(false);
  readonly #workers: Worker[] = [];

  constructor(harm: Harm, bench: Bench, { ownProcess }: Capabilities) {
    this.order = { harm, gate: this.#gate.token as string };
    this.#bench = bench;
    this.#ownProcess = ownProcess;
  }

  get harm(): Harm {
    return this.order.harm;
  }

  /** What tasks wait at before they come to harm. */
  get door(): string {
    return this.#door.token as string;
  }

  pool(options: PoolOptions = {}, env: Record<string, string> = {}): Pool {
    const workerOptions = {
      env: { ...process.env, ...env },
      // Processes say on stderr what ended them.
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      ...(this.harm === 'runs out of memory' ? { resourceLimits: { maxOldGenerationSizeMb: 24 } } : {}),
    };
    const makeWorker = (): Worker => {
      const worker = new Worker(WORKER, workerOptions);
      this.#workers.push(worker);
      return worker;
    };
    return this.#bench.pool({
      maxWorkers: 1,
      onWorkerError: (error) => this.strays.push(error),
      workerOptions,
      worker: this.#ownProcess ? WORKER : makeWorker,
      ...options,
    });
  }

  /** Kills the workers that wait for it, if that is the harm. */
  async killIfDue(victims = 1): Promise<void> {
    if (this.harm !== 'is killed from outside') return;
    await this.#gate.arrived(victims);
    const pids = readFileSync(join(this.order.gate, 'pids'), 'utf8').trim().split('\n');
    if (this.#ownProcess) for (const pid of pids) process.kill(Number(pid), 'SIGKILL');
    else await settled(Promise.all(this.#workers.map((worker) => worker.terminate())));
  }

  /** Waits until the first worker has met with the harm. */
  async began(): Promise<void> {
    await eventually(() => existsSync(join(this.order.gate, 'first')), 'the harm');
  }

  atDoor(count: number): Promise<void> {
    return this.#door.arrived(count);
  }

  openDoor(): void {
    this.#door.open();
  }

  /** Checks that the worker's death says what ended it. */
  checkDeath(reason: unknown): void {
    const error = instance(reason, WorkerDiedError);
    const harmed = () => {
      expect(error.cause).to.include({ name: 'RangeError', message: HARM });
    };
    switch (this.harm) {
      case 'exits with 0':
        expect(error.exitCode).to.equal(0);
        break;
      case 'exits with 3':
        expect(error.exitCode).to.equal(3);
        break;
      case 'runs out of memory':
        if (this.#ownProcess) expect(error.signal).to.equal('SIGABRT');
        else expect(error.cause).to.include({ code: 'ERR_WORKER_OUT_OF_MEMORY' });
        break;
      case 'is killed from outside':
        if (this.#ownProcess) expect(error.signal).to.equal('SIGKILL');
        else expect(error.exitCode).to.equal(1);
        break;
      case 'leaves a rejection unhandled':
      case 'leaves a timer that throws':
        harmed();
        break;
      default:
        expect.fail(`nothing should have died when it ${this.harm}: ${String(error)}`);
    }
  }

  /** Checks an error that ended no worker, or one that no task was charged with. */
  checkError(reason: unknown): void {
    const error = instance(reason, Error);
    // Errors of loading name the module themselves, or have a cause that does.
    const said = `${error.name}: ${error.message} ${String(error.cause)}`;
    switch (this.harm) {
      case 'overflows the stack':
        expect(said).to.match(/RangeError.*call stack/);
        break;
      case 'loads a module that is missing':
        expect(said).to.include('no-such-module.js');
        break;
      case 'loads a module that does not parse':
        expect(said).to.include('SyntaxError');
        break;
      case 'loads a module that never finishes':
        instance(error, TimeoutError);
        break;
      case 'runs out of memory':
        expect(error).to.include({ code: 'ERR_WORKER_OUT_OF_MEMORY' });
        break;
      default:
        expect(said).to.include('RangeError').and.to.include(HARM);
    }
  }

  /** Checks that one error was reported which belongs to no task; waits for it. */
  async checkStray(): Promise<void> {
    await eventually(() => this.strays.length > 0, 'the report of the error that belongs to no task');
    expect(this.strays).to.have.length(1);
    this.checkError(this.strays[0]);
  }

  /** Whether a worker that comes to this harm while it has no task leaves an error behind. */
  get leavesError(): boolean {
    switch (this.harm) {
      case 'exits with 0':
      case 'exits with 3':
      case 'is killed from outside':
      case 'loads a module that never finishes':
        return false;
      case 'runs out of memory':
        return !this.#ownProcess;
      default:
        return true;
    }
  }

  /** Checks how a task ended that came to harm. */
  async checkEnd(future: Future<unknown>): Promise<void> {
    switch (this.harm) {
      case 'throws':
      case 'overflows the stack':
      case 'loads a module that is missing':
      case 'loads a module that does not parse':
      case 'loads a module that throws':
      case 'loads a module that never finishes':
        this.checkError(await rejectionOf(future, 'the rejection of the task'));
        break;
      case 'leaves a timer that throws':
        expect(await settled(future, 'the end of the task')).to.equal('unharmed');
        break;
      default:
        this.checkDeath(await rejectionOf(future, 'the rejection of the task'));
    }
  }

  /** Submits under a time limit what would never end. */
  submit<A extends unknown[]>(pool: Pool, callable: (...args: A) => unknown, ...args: A): Future<unknown> {
    const endless = this.harm === 'loads a module that never finishes';
    return pool.with(endless ? { timeout: TIME_LIMIT } : {}).submit(callable, ...args);
  }

  [Symbol.dispose](): void {
    this.#gate[Symbol.dispose]();
    this.#door[Symbol.dispose]();
  }
}

type Play = (scene: Scene, capabilities: Capabilities) => Promise<Pool>;

/** What is common to workers that come to harm before their first task, once: all tasks end well in the next worker. */
async function playBeforeTheFirst(scene: Scene, pool: Pool): Promise<void> {
  const tasks = tenTasks(pool);
  await scene.began();
  await scene.killIfDue();
  await tenSucceed(tasks);
  if (scene.leavesError) await scene.checkStray();
  else expect(scene.strays).to.deep.equal([]);
}

/** A worker that never gets ready is not told from a slow one: its tasks can be cancelled, and the pool shut down. */
async function playForEver(scene: Scene, pool: Pool): Promise<void> {
  const futures = range(3).map((i) => pool.submit(add, i, 1));
  await scene.began();
  expect(futures[0]?.cancel()).to.equal(true);
  await settled(pool.shutdown({ cancelFutures: true }), 'shutdown() of workers that never get ready');
  for (const future of futures) await rejectionAs(future, CancelledError);
  expect(pool.stats()).to.include({ workers: 0, cancelled: 3, queued: 0, running: 0 });
}

const plays: Record<Moment, Play> = {
  'while it starts': async (scene) => {
    const pool = scene.pool({}, { HARM: scene.harm, HARM_GATE: scene.order.gate });
    if (scene.harm !== 'loads a module that never finishes') {
      await playBeforeTheFirst(scene, pool);
      return pool;
    }
    await playForEver(scene, pool);
    return scene.pool();
  },

  'in its initializer': async (scene, { BrokenPool }) => {
    const pool = scene.pool({ initializer: sufferFirst, initargs: [scene.order] });
    switch (scene.harm) {
      case 'loads a module that never finishes':
        await playForEver(scene, pool);
        return scene.pool();
      case 'throws':
      case 'overflows the stack':
      case 'loads a module that is missing':
      case 'loads a module that does not parse':
      case 'loads a module that throws': {
        const futures = range(3).map((i) => pool.submit(add, i, 1));
        for (const future of futures) scene.checkError((await rejectionAs(future, BrokenPool)).cause);
        thrownBy(() => pool.submit(add, 1, 2), BrokenPool);
        await settled(pool.shutdown(), 'shutdown() of a broken pool');
        return scene.pool();
      }
      default:
        await playBeforeTheFirst(scene, pool);
        return pool;
    }
  },

  'while it is idle': async (scene) => {
    const pool = scene.pool();
    expect(await settled(pool.submit(sufferLater, scene.order))).to.equal('unharmed');
    await scene.killIfDue();
    // This one harms nobody.
    if (scene.harm === 'loads a module that never finishes') return pool;
    if (scene.leavesError) await scene.checkStray();
    await eventually(() => pool.stats().workers === 0, 'the end of the idle worker');
    return pool;
  },

  'while it reads the arguments': async (scene) => {
    const pool = scene.pool({ initializer: learnHarms });
    const future = pool.submit(takeValue, new HarmfulValue(scene.order));
    await scene.killIfDue();
    // It is read at once: the rejection comes up when the task has ended.
    if (scene.harm !== 'leaves a rejection unhandled') await scene.checkEnd(future);
    else expect(await settled(future)).to.equal('unharmed');
    return pool;
  },

  'while it runs a task': async (scene) => {
    const pool = scene.pool();
    const { harm } = scene;
    const future = isModuleHarm(harm)
      ? scene.submit(pool, sufferModule(harm))
      : scene.submit(pool, suffer, scene.order);
    // Those right behind it are none of the harm's business, whether they have been sent or not.
    const behind = tenTasks(pool);
    await scene.killIfDue();
    await scene.checkEnd(future);
    await tenSucceed(behind);
    return pool;
  },

  'while it runs several tasks': async (scene) => {
    const pool = scene.pool({ concurrentTasksPerWorker: 3 });
    const meeting = new Gate(false);
    try {
      const neighbours = range(2).map((i) => pool.submit(passGateAsync, meeting.token, i));
      await meeting.arrived(2);
      const future = scene.submit(pool, suffer, scene.order);
      await scene.killIfDue();
      await scene.checkEnd(future);
      switch (scene.harm) {
        case 'throws':
        case 'overflows the stack':
        case 'loads a module that is missing':
        case 'loads a module that does not parse':
        case 'loads a module that throws':
        case 'loads a module that never finishes':
          meeting.open();
          expect(await settled(Promise.all(neighbours))).to.deep.equal([0, 1]);
          break;
        default:
          // A thread that has thrown what nobody caught cannot go on.
          for (const neighbour of neighbours) scene.checkDeath(await rejectionOf(neighbour));
      }
    } finally {
      meeting[Symbol.dispose]();
    }
    return pool;
  },

  'while it encodes the result': async (scene) => {
    const pool = scene.pool();
    const future = pool.submit(returnHarmful, scene.order);
    await scene.killIfDue();
    switch (scene.harm) {
      case 'throws':
      case 'overflows the stack':
        expect(instance(await rejectionOf(future), Error).name).to.be.oneOf(['DataCloneError', 'RangeError']);
        break;
      case 'leaves a rejection unhandled':
      case 'leaves a timer that throws':
        expect(await settled(future)).to.deep.equal({ value: 'unharmed' });
        break;
      default:
        await scene.checkEnd(future);
    }
    return pool;
  },

  'while it ends': async (scene) => {
    const pool = scene.pool({ maxWorkers: 2 });
    const futures = range(2).map(() => scene.submit(pool, sufferBehind, scene.door, scene.order));
    await scene.atDoor(2);
    const resized = pool.resize({ maxWorkers: 1 });
    scene.openDoor();
    await scene.killIfDue(2);
    for (const future of futures) await scene.checkEnd(future);
    await settled(resized, 'resize()');
    return pool;
  },

  'during shutdown()': async (scene) => {
    const pool = scene.pool();
    const future = scene.submit(pool, sufferBehind, scene.door, scene.order);
    const behind = tenTasks(pool);
    await scene.atDoor(1);
    const ended = pool.shutdown();
    scene.openDoor();
    await scene.killIfDue();
    await scene.checkEnd(future);
    await tenSucceed(behind);
    await settled(ended, 'shutdown()');
    expect(pool.stats()).to.include({ workers: 0, queued: 0, running: 0 });
    return scene.pool();
  },
};

/** What goes wrong in a worker, at each moment of its life, and that the pool goes on after it. */
export function describeCrashGrid(name: string, makeExecutor: MakeExecutor, capabilities: Capabilities): void {
  describe(`${name}: crash grid`, () => {
    const bench = useBench(makeExecutor, capabilities);

    for (const moment of MOMENTS) {
      for (const harm of HARMS) {
        if (NOT_TESTED[moment]?.[harm] !== undefined) continue;
        it(`ten further tasks succeed when a worker ${harm} ${moment}`, async () => {
          using scene = new Scene(harm, bench, capabilities);
          const pool = await plays[moment](scene, capabilities);
          await tenSucceed(tenTasks(pool));
          const { submitted, completed, failed, cancelled, queued, running } = pool.stats();
          expect([queued, running, submitted]).to.deep.equal([0, 0, completed + failed + cancelled]);
          await settled(pool.shutdown(), 'shutdown()');
        });
      }
    }

    it('every cell of the grid is tested, or has a reason why not', () => {
      const cells = MOMENTS.flatMap((moment) => HARMS.map((harm) => NOT_TESTED[moment]?.[harm] ?? 'tested'));
      const reasons = cells.filter((cell) => cell !== 'tested');
      expect([cells.length, reasons.length]).to.deep.equal([108, 9]);
      for (const reason of reasons) expect(reason).to.not.equal('');
    });

    it('workers that all die while they start break the pool, with the last cause', async () => {
      const pool = bench.pool({
        maxWorkers: 1,
        onWorkerError: () => undefined,
        worker: new URL('../fixtures/no-such-worker.js', import.meta.url),
        workerOptions: { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] },
      });
      const futures = range(3).map((i) => pool.submit(add, i, 1));
      const errors = await Promise.all(futures.map((future) => rejectionAs(future, capabilities.BrokenPool)));
      expect(new Set(errors).size).to.equal(3);
      for (const { cause } of errors) {
        expect(instance(cause, Error).message).to.include('no-such-worker.js');
      }
      thrownBy(() => pool.submit(add, 1, 2), capabilities.BrokenPool);
      await settled(pool.shutdown());
    });

    it('an error that belongs to no task is a warning by default', async () => {
      using scene = new Scene('leaves a timer that throws', bench, capabilities);
      const warnings: Error[] = [];
      const listen = (warning: Error) => warnings.push(warning);
      process.on('warning', listen);
      try {
        const pool = bench.pool({
          maxWorkers: 1,
          workerOptions: { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] },
        });
        expect(await settled(pool.submit(suffer, scene.order))).to.equal('unharmed');
        await eventually(() => warnings.some(({ name: kind }) => kind === 'WorkerError'), 'the warning');
      } finally {
        process.off('warning', listen);
      }
      expect(warnings.map(({ message }) => message).join()).to.include(HARM);
    });
  });
}
