/**
 * The documents do what they show. A block of ```js or ```ts that imports from 'concurrent-futures' is run in a Node process
 * of its own, and must end with exit code 0, unless an HTML comment stands before it: `<!-- not run: reason -->`.
 *
 * - `console.log(...); // text` says what is printed. Where a block says it once, the whole output must equal what its
 *   comments say, white space apart; `…` stands for any text.
 * - A block whose first line is `// name.ts` or `// name.js` is that file, for the blocks that follow in the document. Of the
 *   files only `main` is run.
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import ts from 'typescript';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
/** Inside the package, so that the blocks can import it by its name. */
const SCRATCH = join(ROOT, '.docs');
/** Blocks that run at the same time. */
const AT_ONCE = 2;
/** ms until a block that does not end by itself is killed. */
const PATIENCE = 15_000;

/** A file that a block stands for. */
interface Source {
  name: string;
  language: string;
  text: string;
}

/** A block that is run, with the files that the blocks before it stand for. */
interface Runnable {
  title: string;
  main: Source;
  files: Source[];
}

interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
}

const documents = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', ...markdownBelow('docs')];
const runnables = documents.flatMap((document) => runnablesOf(document));

function markdownBelow(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => join(folder, name))
    .sort();
}

function read(document: string): string {
  return readFileSync(join(ROOT, document), 'utf8');
}

function runnablesOf(document: string): Runnable[] {
  const found: Runnable[] = [];
  const files = new Map<string, Source>();
  const text = read(document);
  for (const match of text.matchAll(/^```(js|ts)\n(.*?)^```$/gms)) {
    const [, language = '', code = ''] = match;
    const before = text.slice(0, match.index);
    const name = /^\/\/ (\S+\.(?:js|ts))\n/.exec(code)?.[1];
    const main: Source = { name: name ?? `main.${language}`, language, text: code };
    if (/<!-- not run: [^>]+-->\s*$/.test(before)) continue;
    if (name !== undefined && !name.startsWith('main.')) files.set(name, main);
    else if (code.includes("from 'concurrent-futures")) {
      const line = before.split('\n').length;
      found.push({ title: `${document}:${String(line)}`, main, files: [...files.values()] });
    }
  }
  return found;
}

/** Writes a block and its files to a directory of their own. @returns the TypeScript files */
function write({ main, files }: Runnable, directory: string): string[] {
  mkdirSync(directory, { recursive: true });
  const typed: string[] = [];
  for (const { name, language, text } of [...files, main]) {
    if (language === 'ts') {
      const path = join(directory, name);
      // The type check wants a module whose top level may await, whatever it imports and exports.
      writeFileSync(path, `${text}\nexport {};\n`);
      typed.push(path);
    }
    const compilerOptions = { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext };
    const script = language === 'js' ? text : ts.transpileModule(text, { compilerOptions }).outputText;
    writeFileSync(join(directory, name.replace(/\.ts$/, '.js')), script);
  }
  return typed;
}

function run(script: string): Promise<Outcome> {
  return new Promise((done) => {
    const child = execFile(
      process.execPath,
      [script],
      { timeout: PATIENCE, killSignal: 'SIGKILL' },
      (_error, stdout, stderr) => {
        done({ code: child.exitCode, stdout, stderr });
      },
    );
  });
}

/** What a block says that it prints; undefined when it says nothing. */
function announced({ main }: Runnable): string | undefined {
  const said = [...main.text.matchAll(/^.*\bconsole\.log\(.*\/\/ (.+)$/gm)].map(([, comment]) => comment);
  return said.length === 0 ? undefined : said.join(' ');
}

function pattern(output: string): RegExp {
  const words = output.split(/\s+/).map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${words.join(' ').replaceAll('…', '.*?')}$`);
}

/** The anchor that a heading gets. */
function anchor(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-');
}

function anchors(document: string): string[] {
  return [...withoutBlocks(read(document)).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => anchor(heading));
}

function withoutBlocks(text: string): string {
  return text.replace(/^```.*?^```$/gms, '');
}

describe('the documents', function () {
  // A child for each block, two at a time, and one type check.
  this.timeout(120_000);

  const outcomes = new Map<Runnable, Outcome>();
  const typed: string[] = [];

  before('every block is run', async () => {
    for (const old of existsSync(SCRATCH) ? readdirSync(SCRATCH) : []) {
      if (/^run-\d+$/.test(old)) rmSync(join(SCRATCH, old), { recursive: true });
    }
    const waiting = [...runnables.entries()];
    typed.push(...waiting.flatMap(([n, runnable]) => write(runnable, join(SCRATCH, `run-${String(n)}`))));
    await Promise.all(
      Array.from({ length: AT_ONCE }, async () => {
        for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
          const [n, runnable] = next;
          outcomes.set(runnable, await run(join(SCRATCH, `run-${String(n)}`, 'main.js')));
        }
      }),
    );
  });

  for (const runnable of runnables) {
    const output = announced(runnable);
    it(`${runnable.title} ends well${output === undefined ? '' : ' and prints what it says'}`, () => {
      const { code, stdout, stderr } = outcomes.get(runnable)!;
      expect(code, stderr).to.equal(0);
      expect(stderr).to.equal('');
      if (output !== undefined) expect(stdout.trim().split(/\s+/).join(' ')).to.match(pattern(output));
    });
  }

  it('every block of TypeScript passes the type check', () => {
    const program = ts.createProgram(typed, {
      target: ts.ScriptTarget.ES2023,
      lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts'],
      types: ['node'],
      typeRoots: [join(ROOT, 'node_modules', '@types')],
      module: ts.ModuleKind.NodeNext,
      moduleResolution: ts.ModuleResolutionKind.NodeNext,
      strict: true,
      skipLibCheck: true,
      noEmit: true,
    });
    const errors = ts.getPreEmitDiagnostics(program).map(({ file, start, messageText }) => {
      const line = file?.getLineAndCharacterOfPosition(start ?? 0).line ?? 0;
      const which = runnables[Number(/run-(\d+)/.exec(file?.fileName ?? '')?.[1])]?.title ?? '';
      return `${which} (line ${String(line + 1)} of the block): ${ts.flattenDiagnosticMessageText(messageText, '\n')}`;
    });
    expect(errors).to.deep.equal([]);
  });

  for (const document of documents) {
    it(`${document}: the links to other files and to headings lead somewhere`, () => {
      const broken: string[] = [];
      for (const [, link = ''] of withoutBlocks(read(document)).matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^[a-z]+:/.test(link)) continue;
        const [path = '', heading] = link.split('#');
        const target = path === '' ? document : join(dirname(document), path);
        const there = existsSync(resolve(ROOT, target));
        if (!there || (heading !== undefined && !anchors(target).includes(heading))) broken.push(link);
      }
      expect(broken).to.deep.equal([]);
    });
  }
});
