import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';

describe("a project in pnpm's layout", () => {
  let project: string;

  before(() => {
    project = mkdtempSync(path.join(tmpdir(), 'pnpm-layout-'));
    const store = (name: string) => path.join(project, 'node_modules/.pnpm', `${name}@1`, 'node_modules');
    const dependency = path.join(store('dep'), 'dep');
    const own = path.join(store('concurrent-futures'), 'concurrent-futures');
    mkdirSync(dependency, { recursive: true });
    mkdirSync(own, { recursive: true });
    writeFileSync(path.join(dependency, 'package.json'), '{"name":"dep","type":"module","main":"index.js"}');
    writeFileSync(path.join(dependency, 'index.js'), 'export const fromPackage = 40;');
    cpSync('dist', path.join(own, 'dist'), { recursive: true });
    cpSync('package.json', path.join(own, 'package.json'));
    symlinkSync(path.resolve('node_modules/comlink'), path.join(store('concurrent-futures'), 'comlink'));
    symlinkSync(dependency, path.join(project, 'node_modules/dep'));
    symlinkSync(own, path.join(project, 'node_modules/concurrent-futures'));
    writeFileSync(path.join(project, 'near.mjs'), 'export const fromFile = 2;');
    writeFileSync(
      path.join(project, 'main.mjs'),
      `import { ThreadPoolExecutor } from 'concurrent-futures';
      const executor = new ThreadPoolExecutor(1);
      console.log(await executor.submit(async () => {
        const [{ fromPackage }, { fromFile }] = await Promise.all([import('dep'), import('./near.mjs')]);
        return fromPackage + fromFile;
      }));`,
    );
  });

  after(() => {
    rmSync(project, { recursive: true, force: true });
  });

  it('import() in a function sent by its source finds packages and files as its caller does', async () => {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, ['main.mjs'], {
      cwd: project,
      timeout: 15_000,
    });
    expect({ stdout, stderr }).to.deep.equal({ stdout: '42\n', stderr: '' });
  });
});
