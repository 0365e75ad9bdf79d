import { getEventListeners } from 'node:events';
import { expect } from 'chai';
import type { TaskOptions } from 'concurrent-futures';
import { TimeoutError } from '../../dist/errors.js';
import { now } from '../../dist/node/clock.js';
import { Callable } from '../../dist/pool/callables.js';
import { Epochs } from '../../dist/pool/epochs.js';
import { Task } from '../../dist/pool/task.js';
import { TaskLimits } from '../../dist/pool/task-limits.js';
import { useFakeClock } from '../support/fake-clock.js';

function listenersOf(signal: AbortSignal): number {
  return getEventListeners(signal, 'abort').length;
}

describe('TaskLimits', () => {
  const clock = useFakeClock();
  let stopped: [Task, unknown][];
  let limits: TaskLimits;
  let order = 0;

  beforeEach(() => {
    stopped = [];
    limits = new TaskLimits((task, reason) => {
      stopped.push([task, reason]);
      limits.release(task);
    });
  });

  /** A task with options; it can be cancelled unless it has begun. */
  function taskWith(options: TaskOptions, begun = false): Task {
    const owner = {
      withdraw: (task: Task) => {
        if (!begun) limits.release(task);
        return !begun;
      },
    };
    const callable = new Callable(owner, 1, { kind: 'source', name: 'slow', source: '() => 1', base: undefined });
    const extra = { options, special: undefined, moves: false, moved: false };
    return new Task(callable, [], order++, extra, new Epochs().enter(), undefined, 0);
  }

  describe('signals', () => {
    it('attach refuses a signal that is aborted already', () => {
      const signal = AbortSignal.abort();
      expect(limits.attach(taskWith({ signal }), signal)).to.equal(false);
      expect(listenersOf(signal)).to.equal(0);
    });

    it('an abort cancels tasks that have not begun and stops those that have, with the reason', () => {
      const controller = new AbortController();
      const { signal } = controller;
      const [pending, running] = [taskWith({ signal }), taskWith({ signal }, true)];
      for (const task of [pending, running]) expect(limits.attach(task, signal)).to.equal(true);
      const reason = new Error('enough');
      controller.abort(reason);
      expect(pending.future.cancelled()).to.equal(true);
      expect(stopped).to.deep.equal([[running, reason]]);
    });

    it('a signal has one listener for a thousand tasks, and none when the last one has ended', () => {
      const { signal } = new AbortController();
      const tasks = Array.from({ length: 1000 }, () => taskWith({ signal }));
      for (const task of tasks) limits.attach(task, signal);
      expect(listenersOf(signal)).to.equal(1);
      for (const task of tasks.slice(1)) limits.release(task);
      expect(listenersOf(signal)).to.equal(1);
      limits.release(tasks[0]!);
      expect(listenersOf(signal)).to.equal(0);
      limits.attach(tasks[1]!, signal);
      expect(listenersOf(signal), 'used again').to.equal(1);
    });

    it('a signal has no listener after its abort', () => {
      const controller = new AbortController();
      const task = taskWith({ signal: controller.signal });
      limits.attach(task, controller.signal);
      controller.abort();
      expect(listenersOf(controller.signal)).to.equal(0);
    });

    it('an abort does not reach tasks that have ended, or those under other signals', () => {
      const [controller, other] = [new AbortController(), new AbortController()];
      const ended = taskWith({ signal: controller.signal });
      const elsewhere = taskWith({ signal: other.signal });
      limits.attach(ended, controller.signal);
      limits.attach(elsewhere, other.signal);
      limits.release(ended);
      controller.abort();
      expect([ended.future.done(), elsewhere.future.done(), stopped.length]).to.deep.equal([false, false, 0]);
    });
  });

  describe('time limits', () => {
    it('start stops a task that runs for longer than its timeout, with a TimeoutError that names both', () => {
      const task = taskWith({ timeout: 50 });
      limits.start(task, 0);
      clock().tick(49);
      expect(stopped).to.have.length(0);
      clock().tick(1);
      expect(stopped[0]?.[0]).to.equal(task);
      expect(stopped[0]?.[1]).to.be.an.instanceOf(TimeoutError);
      expect(String(stopped[0]?.[1])).to.match(/slow.*50 ms/);
    });

    it('start counts from when the task began, not from when the host heard of it', () => {
      const hour = 3_600_000;
      limits.start(taskWith({ timeout: 2 * hour }), now() - hour);
      clock().tick(0.9 * hour);
      expect(stopped).to.have.length(0);
      clock().tick(0.1 * hour);
      expect(stopped).to.have.length(1);
      limits.start(taskWith({ timeout: hour }), now() - 2 * hour);
      clock().tick(0);
      expect(stopped, 'of which one is late').to.have.length(2);
    });

    it('start sets no timer without a timeout, for an endless one, or for a task that has ended', () => {
      for (const timeout of [undefined, Infinity, 2 ** 31]) {
        limits.start(taskWith(timeout === undefined ? {} : { timeout }), 0);
      }
      const cancelled = taskWith({ timeout: 5 });
      cancelled.future.cancel();
      limits.start(cancelled, 0);
      expect(clock().countTimers()).to.equal(0);
    });

    it('release leaves no timer behind', () => {
      const task = taskWith({ timeout: 50 });
      limits.start(task, 0);
      expect(clock().countTimers()).to.equal(1);
      limits.release(task);
      expect(clock().countTimers()).to.equal(0);
    });

    it('pause stops the clock until the next attempt, which has the whole time', () => {
      const task = taskWith({ timeout: 50 });
      limits.start(task, 0);
      clock().tick(40);
      limits.pause(task);
      clock().tick(1000);
      expect(stopped).to.have.length(0);
      limits.start(task, 0);
      clock().tick(49);
      expect(stopped).to.have.length(0);
      clock().tick(1);
      expect(stopped).to.have.length(1);
    });
  });
});
