/** Stacks of tasks that were written in TypeScript and compiled, with source maps on: they point at the TypeScript source. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { expect } from 'chai';
import ts from 'typescript';
import { runScript } from './support/child.js';
import { settled } from './support/watchdog.js';

/** Types, which leave no line behind when they are compiled: what follows stands elsewhere in the JavaScript. */
const SHIFT = `
interface Apple {
  readonly colour: string;
  readonly weight: number;
}
type Basket = readonly Apple[];
`;

/** Where an error comes from or a task is submitted is said by a comment: that line is looked for in the stack. */
const TASKS = `import { task } from 'concurrent-futures';
${SHIFT}
function check(basket: Basket): void {
  if (basket.length === 0) throw new RangeError('no apple'); // thrown
}

export const count = task(import.meta.url, function count(basket: Basket): number {
  check(basket); // count
  return basket.length;
});

export function weigh(basket: Basket): number {
  check(basket); // weigh
  return basket.length;
}
`;

const MAIN = `import { tasksFrom, ThreadPoolExecutor } from 'concurrent-futures';
import { ProcessPoolExecutor } from 'concurrent-futures/process';
import { count } from './tasks.js';
${SHIFT}
const tasks = tasksFrom<typeof import('./tasks.js')>(new URL('./tasks.js', import.meta.url));

async function stacks(executor: ThreadPoolExecutor | ProcessPoolExecutor): Promise<Record<string, unknown>> {
  const failures: Record<string, () => PromiseLike<unknown>> = {
    tagged: () => executor.submit(count, []), // tagged
    named: () => executor.submit(tasks.weigh, []), // named
    mapped: () => executor.map(count, [[]]), // mapped
    source: () => executor.submit((basket: Basket) => { throw new RangeError(String(basket.length)); }, []), // source
    importing: () => executor.submit(importing), // importing
  };
  const importing = async (): Promise<number> => (await import('./tasks.js')).weigh([]);
  const found: Record<string, unknown> = {};
  for (const [name, fail] of Object.entries(failures)) {
    found[name] = await fail().then(undefined, (error: unknown) => (error as Error).stack);
  }
  await executor.shutdown();
  return found;
}

console.log(JSON.stringify(await stacks(process.argv[2] === 'threads' ? new ThreadPoolExecutor(1) : new ProcessPoolExecutor(1))));
`;

describe('stacks with source maps on', () => {
  const sources: Record<string, string> = { 'tasks.ts': TASKS, 'main.ts': MAIN };
  // Inside the package, so that the compiled files can import it by its name.
  let directory: string;

  before(() => {
    directory = mkdtempSync(fileURLToPath(new URL('source-maps-', import.meta.url)));
    const compilerOptions = { target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.ESNext, sourceMap: true };
    for (const [name, source] of Object.entries(sources)) {
      writeFileSync(join(directory, name), source);
      const compiled = ts.transpileModule(source, { fileName: name, compilerOptions });
      writeFileSync(join(directory, name.replace('.ts', '.js')), compiled.outputText);
      writeFileSync(join(directory, name.replace('.ts', '.js.map')), compiled.sourceMapText ?? '');
    }
  });

  after(() => {
    rmSync(directory, { recursive: true, force: true });
  });

  /** The place in the TypeScript that has the comment. It is at another line in the JavaScript. */
  const place = (name: string, comment: string): RegExp => {
    const lineIn = (text: string) => text.split('\n').findIndex((line) => line.endsWith(`// ${comment}`)) + 1;
    const line = lineIn(sources[name] ?? '');
    expect(line, comment).to.be.above(0);
    expect(lineIn(readFileSync(join(directory, name.replace('.ts', '.js')), 'utf8')), comment).not.to.equal(line);
    const file = join(directory, name).replace(/[.\\]/g, '\\$&');
    return new RegExp(`\\b${file.replace(/^\//, '')}:${String(line)}:\\d+`);
  };

  for (const workers of ['threads', 'processes']) {
    describe(workers, () => {
      let stacks: Record<string, string>;

      before(async () => {
        const { code, stdout, stderr } = await settled(
          runScript(pathToFileURL(join(directory, 'main.js')), [workers], ['--enable-source-maps']),
        );
        expect({ code, stderr }).to.deep.equal({ code: 0, stderr: '' });
        stacks = JSON.parse(stdout) as Record<string, string>;
      });

      /** The frames of the worker, and those of the caller: nothing of this package is among them. */
      const parts = (name: string): string[][] => {
        const stack = stacks[name] ?? '';
        const halves = stack.split('    at --- submitted to the executor ---\n');
        expect(halves, stack).to.have.length(2);
        expect(stack).not.to.match(/\/(dist|lib)\//);
        return halves.map((half) => half.split('\n').filter((line) => line.startsWith('    at ')));
      };

      for (const [name, own] of [
        ['tagged', 'count'],
        ['named', 'weigh'],
        ['mapped', 'count'],
      ] as const) {
        it(`a function of a module, ${name}: both parts point at the TypeScript`, () => {
          const [worker = [], caller = []] = parts(name);
          expect(worker).to.have.length(2);
          expect(worker[0]).to.match(place('tasks.ts', 'thrown'));
          expect(worker[1]).to.match(place('tasks.ts', own));
          expect(caller[0]).to.match(place('main.ts', name));
        });
      }

      it('a function sent by its source: its own frames name its source, those of the caller point at the TypeScript', () => {
        const [worker = [], caller = []] = parts('source');
        expect(worker).to.have.length(1);
        expect(worker[0]).to.match(/\bconcurrent-futures:source:\d+:\d+/);
        expect(caller[0]).to.match(place('main.ts', 'source'));
      });

      it('a function sent by its source that imports: what it imported points at the TypeScript, itself at no line of its file', () => {
        const [worker = [], caller = []] = parts('importing');
        expect(worker).to.have.length(3);
        expect(worker[0]).to.match(place('tasks.ts', 'thrown'));
        expect(worker[1]).to.match(place('tasks.ts', 'weigh'));
        expect(worker[2]).to.match(/\bmain\.js#concurrent-futures:source:\d+:\d+/);
        expect(caller[0]).to.match(place('main.ts', 'importing'));
      });
    });
  }
});
