import { execFile, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'chai';

const run = promisify(execFile);
const PROGRAM = fileURLToPath(new URL('./fixtures/runtime.js', import.meta.url));

const EXPECTED = `a function: 3
a module: 7
values: ["1267650600228229401496703205376n",{"list":[1,"two"],"nothing":null},"Grüße, 日本語",1000000]
map: [1,4,9]
a stream: [1,2]
an error: "RangeError"
a callback: [50]
an object: 3
the end of a worker: "WorkerDiedError"
a timeout: "TimeoutError"
a long timeout: 2
a signal: "AbortError"
many: 5000
time: true
a stream of Node: "one, two"
terminateWorkers: "BrokenThreadPool"
the end: "of the program follows by itself"
`;

/** A runtime, installed from npm; where there is none for this system, it does not start. */
const runtimes: [name: string, ...command: string[]][] = [
  ['Node', process.execPath],
  ['Deno', fileURLToPath(new URL('../node_modules/.bin/deno', import.meta.url)), 'run', '--allow-all'],
  ['Bun', fileURLToPath(new URL('../node_modules/.bin/bun', import.meta.url))],
];

describe('runtimes', () => {
  for (const [name, command, ...flags] of runtimes) {
    it(`ThreadPoolExecutor does all its kinds of work in ${name}, and the program ends by itself`, async function () {
      if (spawnSync(command!, ['--version']).status !== 0) this.skip();
      this.timeout(60_000);
      const { stdout } = await run(command!, [...flags, PROGRAM], { timeout: 50_000 });
      expect(stdout).to.equal(EXPECTED);
    });
  }
});
