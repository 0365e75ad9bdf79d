import diagnosticsChannel from 'node:diagnostics_channel';
import { expect } from 'chai';
import { ThreadPoolExecutor } from 'concurrent-futures';
import { settled } from './support/watchdog.js';

describe('diagnostics channels', () => {
  const names = ['task:submitted', 'task:started', 'task:ended', 'task:cancelled', 'worker:started', 'worker:ended'];
  const heard: { channel: string; task: string | undefined; worker: string | undefined }[] = [];
  const listeners = names.map((name) => ({
    name: `concurrent-futures:${name}`,
    listen: (message: unknown) => {
      const { task, worker } = message as { task?: { name: string }; worker?: string };
      heard.push({ channel: name, task: task?.name, worker });
    },
  }));

  afterEach(() => {
    for (const { name, listen } of listeners) diagnosticsChannel.unsubscribe(name, listen);
    heard.length = 0;
  });

  it('tell of tasks submitted, started, ended and cancelled, and of workers started and ended', async () => {
    for (const { name, listen } of listeners) diagnosticsChannel.subscribe(name, listen);
    const executor = new ThreadPoolExecutor(1, { threadNamePrefix: 'traced' });
    const future = executor.submit(function work() {
      return 1;
    });
    executor
      .submit(function dropped() {
        return 2;
      })
      .cancel();
    expect(await settled(future)).to.equal(1);
    await settled(executor.shutdown());
    const of = (task: string) => heard.filter((entry) => entry.task === task).map(({ channel }) => channel);
    expect(of('work')).to.deep.equal(['task:submitted', 'task:started', 'task:ended']);
    expect(of('dropped')).to.deep.equal(['task:submitted', 'task:cancelled']);
    const workers = heard.filter(({ channel }) => channel.startsWith('worker:'));
    expect(workers.map(({ channel, worker }) => `${channel} ${String(worker)}`)).to.deep.equal([
      'worker:started traced_0',
      'worker:ended traced_0',
    ]);
  });

  it('tell nothing once nobody listens', async () => {
    await using executor = new ThreadPoolExecutor(1);
    await settled(executor.submit(() => 1));
    expect(heard).to.deep.equal([]);
  });
});
