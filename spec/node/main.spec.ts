import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { tasksFrom } from 'concurrent-futures';
import { ProcessPoolExecutor } from 'concurrent-futures/process';
import { settled } from '../support/watchdog.js';

const STARTS = fileURLToPath(new URL('../fixtures/starts.js', import.meta.url));

describe('the file that workers run', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'worker-main-'));
    writeFileSync(path.join(folder, 'preload.cjs'), '');
    // Loaders of TypeScript compile what is required, and have it apart from what is imported.
    writeFileSync(
      path.join(folder, 'compiler.cjs'),
      `const { _extensions } = require('node:module');
      const load = _extensions['.js'];
      _extensions['.js'] = (module, file) => {
        if (/\\bdist\\W(?!bundle\\b).*-main\\.js$/.test(file)) console.error('A second copy of', file);
        load(module, file);
      };`,
    );
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const url = (file: string) => pathToFileURL(path.join(folder, file)).href;
  const ways: [string, () => string[]][] = [
    ['without flags', () => []],
    ['where require() of modules is switched off', () => ['--no-experimental-require-module']],
    ['behind --require', () => ['--require', path.join(folder, 'preload.cjs')]],
    ['behind a loader that compiles what is required', () => ['--require', path.join(folder, 'compiler.cjs')]],
    ['behind an imported loader that compiles what is required', () => [`--import=${url('compiler.cjs')}`]],
  ];
  for (const [what, flags] of ways) {
    it(`serves ${what}, with one copy of this package, and prints nothing`, async () => {
      const { stdout, stderr } = await promisify(execFile)(process.execPath, [...flags(), STARTS, 'main'], {
        timeout: 15_000,
      });
      expect({ stdout, stderr }).to.deep.equal({
        stdout: 'ThreadPoolExecutor_0\nProcessPoolExecutor_0\n',
        stderr: '',
      });
    });
  }

  it('serves behind NODE_OPTIONS that name a loader', async () => {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [STARTS, 'main'], {
      timeout: 15_000,
      env: { ...process.env, NODE_OPTIONS: `--no-deprecation --require ${path.join(folder, 'compiler.cjs')}` },
    });
    expect({ stdout, stderr }).to.deep.equal({
      stdout: 'ThreadPoolExecutor_0\nProcessPoolExecutor_0\n',
      stderr: '',
    });
  });

  it('is the program that a process is told it runs, unless the user gave one', async () => {
    await using plain = new ProcessPoolExecutor(1);
    const main = fileURLToPath(new URL('../../dist/bundle/process-main.js', import.meta.url));
    expect(await settled(plain.submit(() => process.argv.slice(1)))).to.deep.equal([main]);

    const worker = new URL('../fixtures/own-worker.js', import.meta.url);
    await using own = new ProcessPoolExecutor(1, { worker });
    const { programArguments } = tasksFrom<typeof import('../fixtures/own-worker.js')>();
    expect(await settled(own.submit(programArguments))).to.deep.equal([fileURLToPath(worker)]);
  });
});
