/** Cases for runtimes that have Node's modules. */
import { Readable } from 'node:stream';
import { expect } from 'chai';
import { tasksFrom } from 'concurrent-futures';
import type { Cases } from './cases.js';
import type * as Tasks from './tasks.js';

const { add } = tasksFrom<typeof Tasks>(new URL('./tasks.js', import.meta.url));

const text = async (stream: Readable): Promise<string> => {
  let all = '';
  for await (const chunk of stream) all += new TextDecoder().decode(chunk as Uint8Array);
  return all;
};

export const nodeCases: Cases = {
  'a module is loaded by its URL': async ({ pool }) => {
    expect(await pool().submit(add, 3, 4)).to.equal(7);
  },

  'the end of a worker tells its exit code': async ({ pool }) => {
    const error = await pool()
      .submit(() => process.exit(3))
      .exception();
    expect(error).to.include({ name: 'WorkerDiedError', exitCode: 3 });
  },

  'a stream of Node is read in the worker': async ({ pool }) => {
    const stream = Readable.from([Buffer.from('one, '), Buffer.from('two')]);
    expect(await pool().submit(text, stream)).to.equal('one, two');
  },
};
