import { expect } from 'chai';
import { TaskRunner } from '../../dist/guest/task-runner.js';
import { HostTable } from '../../dist/wire/claim-table.js';
import { BELL, DEFINE, TASKS } from '../../dist/wire/protocol.js';

describe('TaskRunner', () => {
  it('tells of a result before it begins a call that may be long, though the last one was short', async () => {
    const host = new HostTable();
    let bells = 0;
    const port = {
      postMessage: (message: unknown) => {
        if (message === BELL) bells++;
      },
    };
    const told: number[] = [];
    const work = (what: string) => {
      const begin = performance.now();
      told.push(bells);
      // The host looks, and says that it will look again soon.
      host.lowerBell();
      host.promiseLook();
      if (what === 'long') while (performance.now() - begin < 2);
    };
    const config = { port, memory: host.memory, worker: 'worker', concurrency: 1, initializer: undefined };
    const runner = new TaskRunner(port, config, { work });
    await runner.start(undefined);
    runner.receive([DEFINE, 1, { kind: 'named', name: 'work', url: undefined }]);
    const calls = ['long', 'short', 'short', 'short'];
    for (const slot of calls.keys()) host.offer(slot, slot + 1);
    runner.receive([TASKS, 1, 1, calls.length, ...calls.flatMap((what, slot) => [slot + 1, slot, what])]);
    expect(told, 'bells at the begin of each').to.deep.equal([0, 1, 2, 3]);
  });
});
