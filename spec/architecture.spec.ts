/**
 * Who may import whom. Only imports that remain at run time count, unless a rule says otherwise: a type binds nobody to
 * load a file.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { expect } from 'chai';
import ts from 'typescript';

const ROOT = new URL('../', import.meta.url);

/** Files that know no worker: futures, and what is made of them. */
const SPINE = [
  'errors',
  'fifo',
  'options',
  'timeouts',
  'lost-failures',
  'future',
  'wait',
  'as-completed',
  'map-result',
  'executor',
].map((name) => `${name}.ts`);

interface Manifest {
  imports: Record<string, Conditions>;
  dependencies?: Record<string, string>;
  peerDependencies?: Record<string, string>;
}
type Conditions = string | { [condition: string]: Conditions };
type Platform = 'browser' | 'node';

const manifest = JSON.parse(readFileSync(new URL('package.json', ROOT), 'utf8')) as Manifest;

const files = readdirSync(new URL('lib/', ROOT), { recursive: true, encoding: 'utf8' })
  .map((path) => path.replaceAll('\\', '/'))
  .filter((path) => path.endsWith('.ts'))
  .sort();

/** What each file imports, as written: at run time, and in all. */
const specifiers = new Map<string, { runtime: string[]; all: string[] }>();
for (const file of files) {
  const source = readFileSync(new URL(`lib/${file}`, ROOT), 'utf8');
  const { outputText } = ts.transpileModule(source, {
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023, verbatimModuleSyntax: true },
  });
  const importsOf = (text: string) => ts.preProcessFile(text).importedFiles.map(({ fileName }) => fileName);
  specifiers.set(file, { runtime: importsOf(outputText), all: importsOf(source) });
}

/** The targets of an `imports` entry, on one platform or on both. */
function targets(conditions: Conditions | undefined, platform: Platform | undefined): string[] {
  if (conditions === undefined) return [];
  if (typeof conditions === 'string') return [conditions];
  if (platform === undefined) return Object.values(conditions).flatMap((each) => targets(each, platform));
  for (const [condition, each] of Object.entries(conditions)) {
    if (condition === platform || condition === 'default') return targets(each, platform);
  }
  return [];
}

/** The files of this package that a specifier names; none when it names another package. */
function resolve(specifier: string, from: string, platform?: Platform): string[] {
  let paths: string[] = [];
  if (specifier.startsWith('#')) {
    paths = targets(manifest.imports[specifier], platform).map((path) => path.replace('./dist/', ''));
    if (paths.length === 0) throw new Error(`${from} imports ${specifier}, of which package.json says nothing`);
  } else if (specifier.startsWith('.')) {
    paths = [new URL(specifier, `file:///${from}`).pathname.slice(1)];
  }
  return paths.map((path) => {
    const file = path.replace(/\.js$/, '.ts');
    if (!files.includes(file)) throw new Error(`${from} imports ${specifier}, which is not there`);
    return file;
  });
}

function importsOf(file: string, kind: 'runtime' | 'all', platform?: Platform): string[] {
  return (specifiers.get(file)?.[kind] ?? []).flatMap((specifier) => resolve(specifier, file, platform));
}

/** All that is loaded with some files, each with the way there. */
function graph(entries: readonly string[], platform?: Platform): Map<string, string> {
  const ways = new Map(entries.map((file) => [file, file]));
  for (const [file, way] of ways) {
    for (const next of importsOf(file, 'runtime', platform)) {
      if (!ways.has(next)) ways.set(next, `${way} > ${next}`);
    }
  }
  return ways;
}

/** Entries of workers: nothing of the host's side belongs there. */
const guests = files.filter((file) => file === 'worker.ts' || /^(node|browser)\/[a-z-]+-main\.ts$/.test(file));

describe('architecture', () => {
  it('the specs see the files that they are about', () => {
    for (const file of [...SPINE, 'comlink.ts', 'thread.ts', 'pool/scheduler.ts']) expect(files).to.include(file);
    expect(guests).to.include.members(['worker.ts', 'node/worker-main.ts', 'browser/worker-main.ts']);
    expect(importsOf('future.ts', 'runtime')).to.include.members(['errors.ts', 'browser/diagnostics.ts']);
    expect(importsOf('comlink.ts', 'all')).to.include('executor.ts');
  });

  it('no file imports itself by way of others', () => {
    const done = new Set<string>();
    const cycles: string[] = [];
    const visit = (file: string, way: readonly string[]): void => {
      if (way.includes(file)) cycles.push([...way.slice(way.indexOf(file)), file].join(' > '));
      if (done.has(file) || way.includes(file)) return;
      for (const next of importsOf(file, 'runtime')) visit(next, [...way, file]);
      done.add(file);
    };
    for (const file of files) visit(file, []);
    expect(cycles).to.deep.equal([]);
  });

  it('the spine imports the spine, types included, and the diagnostics of the platform', () => {
    const others = SPINE.flatMap((file) =>
      (specifiers.get(file)?.all ?? [])
        .filter((specifier) => specifier !== '#diagnostics')
        .filter(
          (specifier) =>
            resolve(specifier, file).some((target) => !SPINE.includes(target)) || !specifier.startsWith('.'),
        )
        .map((specifier) => `${file} imports ${specifier}`),
    );
    expect(others).to.deep.equal([]);
    const beyond = [...graph(SPINE)].filter(([file]) => !SPINE.includes(file) && !file.endsWith('/diagnostics.ts'));
    expect(beyond.map(([, way]) => way)).to.deep.equal([]);
  });

  it('a worker loads nothing of the pool', () => {
    const hosts = ['thread.ts', 'process.ts', 'index.ts'];
    const ways = [...graph(guests)].filter(([file]) => file.startsWith('pool/') || hosts.includes(file));
    expect(ways.map(([, way]) => way)).to.deep.equal([]);
  });

  it('the pool loads nothing of the worker', () => {
    const ways = [...graph(files.filter((file) => file.startsWith('pool/')))].filter(
      ([file]) => file.startsWith('guest/') || guests.includes(file),
    );
    expect(ways.map(([, way]) => way)).to.deep.equal([]);
  });

  it('one file uses comlink, and one of each platform imports it for that file', () => {
    const knowing = files.filter((file) => specifiers.get(file)?.all.some((name) => /^comlink\b/.test(name)));
    expect(knowing).to.have.members(['browser/comlink.ts', 'node/comlink.ts', 'comlink.ts']);
    const users = files.filter((file) => specifiers.get(file)?.all.includes('#comlink'));
    expect(users).to.deep.equal(['comlink.ts']);
  });

  it('a copy of comlink that a user imports is the one that this package uses', async () => {
    const { transferHandlers } = await import('concurrent-futures');
    expect((await import('comlink')).transferHandlers).to.equal(transferHandlers);
  });

  it('browsers load nothing of Node', () => {
    const ways = graph(['index.ts', ...guests.filter((file) => !file.startsWith('node/'))], 'browser');
    const nodes = [...ways].filter(
      ([file]) => file.startsWith('node/') || specifiers.get(file)?.runtime.some((name) => name.startsWith('node:')),
    );
    expect(nodes.map(([, way]) => way)).to.deep.equal([]);
    expect([...ways.keys()]).to.include('browser/host.ts');
  });

  it('the platforms do not know each other, types included', () => {
    for (const [one, other] of [
      ['node', 'browser'],
      ['browser', 'node'],
    ] as const) {
      const wrong = files.filter(
        (file) =>
          file.startsWith(`${one}/`) && importsOf(file, 'all', one).some((target) => target.startsWith(`${other}/`)),
      );
      expect(wrong).to.deep.equal([]);
    }
  });

  it('nothing but the platforms and their entries names a file of one platform', () => {
    const wrong = files
      .filter((file) => !/^(node|browser)\//.test(file))
      .filter((file) => !['process.ts', 'server.ts', 'bullmq.ts', 'cli.ts'].includes(file))
      .flatMap((file) =>
        (specifiers.get(file)?.all ?? [])
          .filter((specifier) => specifier.startsWith('.'))
          .filter((specifier) => resolve(specifier, file).some((target) => /^(node|browser)\//.test(target)))
          .map((specifier) => `${file} imports ${specifier}`),
      );
    expect(wrong).to.deep.equal([]);
  });

  it('every other package that is imported is one that package.json names', () => {
    const known = Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies });
    const unknown = files.flatMap((file) =>
      (specifiers.get(file)?.all ?? [])
        .filter((specifier) => !/^(\.|#|node:)/.test(specifier))
        .filter((specifier) => !known.some((name) => specifier === name || specifier.startsWith(`${name}/`)))
        .map((specifier) => `${file} imports ${specifier}`),
    );
    expect(unknown).to.deep.equal([]);
  });
});
