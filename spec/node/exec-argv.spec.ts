import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { inheritedFlags } from '../../dist/node/exec-argv.js';
import { settled } from '../support/watchdog.js';

/** A program that says so when it is run within itself, instead of going on for ever. */
const PROGRAM = `
  if (process.env.RUNS === '1') {
    console.log('the program was run again');
    process.exit(1);
  }
  process.env.RUNS = '1';
  const pool = new ThePool(1);
  console.log(await pool.submit((a, b) => a + b, 20, 22));
  await pool.shutdown();
`;
const program = (entry: string, pool: string) => `import { ${pool} as ThePool } from '${entry}'; ${PROGRAM}`;
const pools: Record<string, string> = {
  ThreadPoolExecutor: program('concurrent-futures', 'ThreadPoolExecutor'),
  ProcessPoolExecutor: program('concurrent-futures/process', 'ProcessPoolExecutor'),
};

/** What a program prints that is given in some other way than by a file. */
function output(flags: string[], input = ''): Promise<string> {
  return settled(
    new Promise((resolve) => {
      // Where the package finds itself by its name.
      const cwd = fileURLToPath(new URL('../..', import.meta.url));
      const child = spawn(process.execPath, flags, { cwd, timeout: 15_000, killSignal: 'SIGKILL' });
      let text = '';
      child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      child.stderr.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      child.once('close', (code) => {
        resolve(`${text}${String(code)}`);
      });
      child.stdin.end(input);
    }),
    'the end of the program',
  );
}

describe('programs that no file holds', () => {
  for (const [name, text] of Object.entries(pools)) {
    it(`${name} works in one that was given by --eval, and runs it once`, async () => {
      expect(await output(['--input-type=module', '--eval', text])).to.equal('42\n0');
    });

    it(`${name} works in one that was given by --eval=`, async () => {
      expect(await output(['--input-type', 'module', `--eval=${text}`])).to.equal('42\n0');
    });

    it(`${name} works in one that came by the standard input`, async () => {
      expect(await output(['--input-type=module'], text)).to.equal('42\n0');
    });

    it(`${name} works in one that was given by --print`, async () => {
      const printed = `(async () => { ${text.replace(/import \{ (\w+) as ThePool \} from ('[^']+');/, 'const { $1: ThePool } = await import($2);')} })().then(() => 'done'), 'printed'`;
      expect(await output(['-p', printed])).to.equal('printed\n42\n0');
    });
  }

  const cases: [string, string[], string[]][] = [
    ['what others take part in', ['-r', './hook.cjs', '--import', 'tsx'], ['-r', './hook.cjs', '--import', 'tsx']],
    ['flags of the engine', ['--max-old-space-size=64', '--expose-gc'], ['--max-old-space-size=64', '--expose-gc']],
    ['no program', ['--expose-gc', '-e', 'x', '--no-warnings'], ['--expose-gc', '--no-warnings']],
    ['no program to print', ['-p', 'x', '--no-warnings'], ['--no-warnings']],
    ['no program to print that --eval gives', ['-p', '-e', 'x', '--no-warnings'], ['--no-warnings']],
    ['no kind of program', ['--input-type=module', '--input-type', 'module', '--no-warnings'], ['--no-warnings']],
    ['no debugger', ['--inspect', '--inspect-brk=0', '--inspect-port', '0', '--no-warnings'], ['--no-warnings']],
    [
      'no test runner and no watcher',
      ['--test', '--watch', '--watch-path', './lib', '--no-warnings'],
      ['--no-warnings'],
    ],
  ];
  for (const [what, given, inherited] of cases) {
    it(`processes of a pool inherit ${what}`, () => {
      expect(inheritedFlags(given)).to.deep.equal(inherited);
    });
  }
});
