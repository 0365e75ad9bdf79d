import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { ThreadPoolExecutor } from 'concurrent-futures';
import { rollup } from 'rollup';

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('../', import.meta.url));

interface Packed {
  filename: string;
  files: { path: string }[];
}
type Conditions = string | { [condition: string]: Conditions };

const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  name: string;
  exports: Record<string, Conditions>;
  imports: Record<string, Conditions>;
};

/** What `npm pack` says; without its scripts, which would build the package under the feet of the other specs. */
async function pack(...flags: string[]): Promise<Packed> {
  const { stdout } = await run('npm', ['pack', '--json', '--ignore-scripts', ...flags], { cwd: ROOT });
  return (JSON.parse(stdout) as Packed[])[0]!;
}

function leaves(conditions: Conditions): string[] {
  return typeof conditions === 'string' ? [conditions] : Object.values(conditions).flatMap(leaves);
}

const entries = Object.keys(manifest.exports).filter((entry) => entry !== './package.json');

/** The public API as a program uses it. It compiles with Node's types alone and with a browser's alone. */
const CONSUMER = `
import {
  ALL_COMPLETED, asCompleted, BrokenThreadPool, CancelledError, Executor, Future, proxy, task, tasksFrom,
  ThreadPoolExecutor, type ThreadPoolExecutorOptions, type TaskOptions, TimeoutError, transfer, wait, WorkerDiedError,
} from 'concurrent-futures';
import { currentTask, expose } from 'concurrent-futures/worker';

const options: ThreadPoolExecutorOptions = { maxWorkers: 2, idleTimeout: 1000 };
const conditions: TaskOptions = { timeout: 5, priority: 1 };
export const double = task(import.meta.url, function double(x: number) { return 2 * x; });

export async function use(): Promise<number> {
  await using executor = new ThreadPoolExecutor(options);
  const future: Future<number> = executor.submit((a: number, b: number) => a + b, 1, 2);
  const squares: number[] = await executor.map((x: number) => x * x, [1, 2, 3]);
  for await (const done of asCompleted([future])) await done.result(100);
  const { done, notDone } = await wait([future], { returnWhen: ALL_COMPLETED, timeout: 5 });
  for await (const item of executor.stream(function* (n: number) { yield n; }, 3)) squares.push(item);
  const buffer = new ArrayBuffer(8);
  const length: number = await executor.with(conditions).submit((b: ArrayBuffer) => b.byteLength, transfer(buffer, [buffer]));
  executor.submit((report: (n: number) => void) => { report(1); }, proxy((n: number) => { squares.push(n); }));
  class Counter { count = 0; add(n: number) { return (this.count += n); } }
  using counter = await executor.create(Counter);
  const sum: number = await counter.add(1);
  const tasks = tasksFrom<{ resize(width: number): string }>();
  const resized: string = await executor.submit(tasks.resize, 5);
  const base: Executor = executor;
  const error = await future.exception();
  if (error instanceof WorkerDiedError) return error.exitCode ?? 0;
  if (error instanceof TimeoutError || error instanceof CancelledError || error instanceof BrokenThreadPool) return 1;
  await base.join();
  return done.size + notDone.size + length + sum + resized.length + executor.stats().runTime.p99;
}

expose({ where: () => currentTask().worker, signal: () => currentTask().signal.aborted });

// @ts-expect-error a string is no number: the types are there, and are not any
new ThreadPoolExecutor('2');
`;

const common = { strict: true, noEmit: true, skipLibCheck: false, target: 'es2023', exactOptionalPropertyTypes: true };
const consumers: Record<string, object> = {
  'in Node, moduleResolution nodenext': {
    ...common,
    module: 'nodenext',
    lib: ['es2023', 'esnext.disposable'],
    types: ['node'],
  },
  'in Node, moduleResolution bundler': {
    ...common,
    module: 'esnext',
    moduleResolution: 'bundler',
    lib: ['es2023', 'esnext.disposable'],
    types: ['node'],
  },
  'in a browser, with no types of Node': {
    ...common,
    module: 'esnext',
    moduleResolution: 'bundler',
    customConditions: ['browser'],
    lib: ['es2023', 'esnext.disposable', 'dom', 'dom.iterable', 'dom.asynciterable'],
    types: [],
  },
};

describe('package', function () {
  this.timeout(120_000);
  let directory: string;
  let packed: Packed;

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'consumer-'));
    packed = await pack('--pack-destination', directory);
    const modules = join(directory, 'node_modules');
    const home = join(modules, manifest.name);
    mkdirSync(home, { recursive: true });
    await run('tar', ['-xzf', join(directory, packed.filename), '--strip-components=1', '-C', home]);
    mkdirSync(join(modules, '@types'));
    for (const name of ['comlink', '@types/node']) symlinkSync(join(ROOT, 'node_modules', name), join(modules, name));
    writeFileSync(join(directory, 'package.json'), JSON.stringify({ type: 'module' }));
    writeFileSync(join(directory, 'consumer.ts'), CONSUMER);
  });

  after(() => {
    rmSync(directory, { recursive: true, force: true });
  });

  it('the package holds what is built and its source, and neither specs nor other files', () => {
    const paths = packed.files.map(({ path }) => path);
    for (const needed of [
      'dist/index.js',
      'dist/index.d.ts',
      'dist/index.js.map',
      'dist/bundle/index.mjs',
      'dist/bundle/package.json',
      'lib/index.ts',
      'LICENSE',
      'package.json',
    ]) {
      expect(paths).to.include(needed);
    }
    const others = paths.filter(
      (path) => !/^((dist|lib)\/.+|(README|CHANGELOG)\.md|LICENSE|package\.json)$/.test(path),
    );
    expect(others).to.deep.equal([]);
    expect(paths.filter((path) => /\bspec\b|\btest\b|\.tsbuildinfo$/.test(path))).to.deep.equal([]);
  });

  it('npm pack --dry-run lists the same files', async () => {
    const { files } = await pack('--dry-run');
    expect(files.map(({ path }) => path).sort()).to.deep.equal(packed.files.map(({ path }) => path).sort());
  });

  it('every file that exports and imports name is in the package', () => {
    const paths = packed.files.map(({ path }) => path);
    for (const target of [...leaves(manifest.exports), ...leaves(manifest.imports)]) {
      expect(paths).to.include(target.replace('./', ''));
    }
  });

  it('every source map finds its source', () => {
    for (const { path } of packed.files) {
      if (!path.endsWith('.map')) continue;
      const home = join(directory, 'node_modules', manifest.name);
      const { sources } = JSON.parse(readFileSync(join(home, path), 'utf8')) as { sources: string[] };
      for (const source of sources)
        expect(existsSync(join(home, path, '..', source)), `${path}: ${source}`).to.equal(true);
    }
  });

  for (const entry of entries) {
    it(`import '${manifest.name}${entry.slice(1)}' works where the package is installed`, async () => {
      const source = `const names = Object.keys(await import('${manifest.name}${entry.slice(1)}')); if (names.length === 0) throw new Error('empty');`;
      const { stderr } = await run(process.execPath, ['--input-type=module', '--eval', source], { cwd: directory });
      expect(stderr).to.equal('');
    });
  }

  it('what Node gets of each entry is what bundlers and browsers get', async () => {
    for (const entry of entries) {
      const names = async (condition: string) => {
        const target = (manifest.exports[entry] as Record<string, string>)[condition] as string;
        return Object.keys((await import(new URL(target, new URL('../', import.meta.url)).href)) as object).sort();
      };
      expect(await names('default'), entry).to.deep.equal(await names('module'));
    }
  });

  it('a thread loads no module but what is bundled for it, and no code of the pool', async () => {
    await using executor = new ThreadPoolExecutor(1);
    const loaded = await executor.submit(() => {
      const { _cache } = process.getBuiltinModule('node:module') as unknown as { _cache: Record<string, unknown> };
      return Object.keys(_cache).map((file) => file.replaceAll('\\', '/'));
    });
    const own = loaded.filter((file) => !file.includes('/node_modules/comlink/'));
    expect(own.filter((file) => !file.includes('/dist/bundle/'))).to.deep.equal([]);
    expect(own.map((file) => file.split('/').at(-1))).to.include('worker-main.js');
    for (const file of own) expect(readFileSync(file, 'utf8'), file).to.not.include('class Scheduler');
  });

  it('in a program that a bundler has put into one file with this package, errors keep their frames', async () => {
    const dist = join(ROOT, 'dist/');
    // Inside the package, so that the worker, which is not bundled, can import it by its name.
    const folder = mkdtempSync(join(ROOT, '.spec/bundled-'));
    const program = join(folder, 'program.js');
    writeFileSync(
      join(folder, 'worker.js'),
      `import { expose } from 'concurrent-futures/worker';
       expose({ fail() { throw new RangeError('stuck'); } });`,
    );
    writeFileSync(
      program,
      `import { tasksFrom, ThreadPoolExecutor } from 'concurrent-futures';
       const executor = new ThreadPoolExecutor(1, { worker: new URL('./worker.js', import.meta.url) });
       const submitHere = () => executor.submit(tasksFrom().fail);
       console.log((await submitHere().exception()).stack);`,
    );
    try {
      const bundle = await rollup({
        input: program,
        external: /^(node:|comlink)/,
        plugins: [
          {
            name: 'what "imports" and "exports" say',
            resolveId: (id) => {
              if (id === 'concurrent-futures') return join(dist, 'index.js');
              return id.startsWith('#') ? join(dist, 'node', `${id.slice(1)}.js`) : null;
            },
          },
        ],
      });
      await bundle.write({ file: join(folder, 'bundled.js'), format: 'esm' });
      const { stdout, stderr } = await run(process.execPath, [join(folder, 'bundled.js')], { timeout: 20_000 });
      expect(stderr).to.equal('');
      expect(stdout).to.match(
        /^RangeError: stuck\n[^]*fail [^]*worker\.js[^]*--- submitted [^]*submitHere[^]*bundled\.js/,
      );
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('a program that does nothing with the package ends at once, with it imported', async () => {
    const source = entries.map((entry) => `await import('${manifest.name}${entry.slice(1)}');`).join('\n');
    const { stdout } = await run(
      process.execPath,
      ['--input-type=module', '--eval', `${source} console.log(process.getActiveResourcesInfo().join());`],
      { cwd: directory, timeout: 20_000 },
    );
    expect(stdout).to.not.match(/Worker|Timeout|MessagePort/);
  });

  for (const [where, compilerOptions] of Object.entries(consumers)) {
    it(`a program that uses the package passes the type check: ${where}`, async () => {
      const config = join(directory, 'tsconfig.json');
      writeFileSync(config, JSON.stringify({ compilerOptions, files: ['consumer.ts'] }));
      const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
      const result = await run(process.execPath, [tsc, '-p', config], { cwd: directory }).catch(
        (error: unknown) => error,
      );
      expect((result as { stdout: string }).stdout).to.equal('');
    });
  }
});
