// npm run bench [-- --only burst,map] [-- --quick]
//
// Every workload runs in a process of its own, with all contenders in it; those workloads that measure a fresh process
// start one for every sample. A full run writes docs/benchmarks.md and docs/benchmarks.svg; any other writes the same
// into bench/results.
import { execFile } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import os from 'node:os';
import { performance } from 'node:perf_hooks';
import process from 'node:process';
import { fileURLToPath, URL } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import * as prettier from 'prettier';
import { drawChart } from './chart.js';
import { PACKAGES } from './contenders.js';
import { runApart, WORKERS } from './harness.js';
import { judge, writeReport } from './report.js';

const WORKLOADS = [
  'burst',
  'sequential',
  'sequential-one-core',
  'factorial',
  'map',
  'copy',
  'transfer',
  'stream',
  'mixed',
  'first',
  'million',
  'memory',
];

/** Milliseconds after which a process is ended, its figures missing: one with a whole workload, one with one sample. */
const WORKLOAD_LIMIT = 150_000;
const SAMPLE_LIMIT = 40_000;

const { values: options } = parseArgs({
  options: { only: { type: 'string', multiple: true }, quick: { type: 'boolean', default: false } },
});
const names = options.only?.flatMap((list) => list.split(',')) ?? WORKLOADS;
for (const name of names) {
  if (!WORKLOADS.includes(name)) throw new RangeError(`No workload '${name}': there are ${WORKLOADS.join(', ')}`);
}

/**
 * V8 drops the code of functions that were not run for some collections, and so many pass between two turns of a contender:
 * what would be measured is how long it takes to compile it anew.
 */
const FLAGS = ['--expose-gc', '--no-flush-bytecode'];

async function runChild(timeout, { under = [] }, ...args) {
  if (options.quick) args.push('--quick');
  const start = performance.now();
  const file = fileURLToPath(new URL('child.js', import.meta.url));
  const [command, ...rest] = [...under, process.execPath, ...FLAGS, file];
  try {
    const { stdout } = await promisify(execFile)(command, [...rest, ...args], {
      timeout,
      killSignal: 'SIGKILL',
      maxBuffer: 2 ** 26,
    });
    return { ...JSON.parse(stdout.trimEnd().split('\n').at(-1)), process: performance.now() - start };
  } catch (error) {
    const reason = error.killed ? `did not end in ${timeout / 1000} s` : (lastError(error.stderr) ?? error.message);
    throw new Error(reason, { cause: error });
  }
}

/** The line of a crashed process's output that says what was wrong. */
function lastError(stderr = '') {
  return stderr.split('\n').findLast((line) => /^\S*Error\b.*:/.test(line));
}

async function runWorkload(name) {
  const { workload } = await import(`./workloads/${name}.js`);
  const start = performance.now();
  const load = os.loadavg()[0];
  let result;
  try {
    result = workload.alone
      ? await runApart(workload, options.quick, (id) =>
          runChild(SAMPLE_LIMIT, workload, '--workload', name, '--contender', id),
        )
      : await runChild(WORKLOAD_LIMIT, workload, '--workload', name);
  } catch (error) {
    result = { rows: [], notes: [`This workload failed: ${error.message}`] };
  }
  const seconds = (performance.now() - start) / 1000;
  process.stderr.write(`${name}: ${seconds.toFixed(1)} s\n`);
  return judge({ name, workload, rows: result.rows, notes: result.notes, load, seconds, quick: options.quick });
}

async function versionOf(name) {
  const file = new URL(`../node_modules/${name}/package.json`, import.meta.url);
  return `${name} ${JSON.parse(await readFile(file, 'utf8')).version}`;
}

const head = {
  date: new Date().toISOString().slice(0, 16).replace('T', ' ') + ' UTC',
  node: process.version,
  platform: `${os.platform()} ${os.arch()}`,
  cpu: os.cpus()[0]?.model.trim() ?? 'unknown',
  cores: os.availableParallelism(),
  workers: WORKERS,
  memory: os.totalmem(),
  loadBefore: os.loadavg(),
  packages: await Promise.all(PACKAGES.map(versionOf)),
  quick: options.quick,
};

const results = [];
for (const name of names) results.push(await runWorkload(name));
head.loadAfter = os.loadavg();
head.seconds = results.reduce((sum, { seconds }) => sum + seconds, 0);

const complete = !options.quick && !options.only;
const folder = new URL(complete ? '../docs/' : './results/', import.meta.url);
await mkdir(folder, { recursive: true });
const markdownFile = new URL('benchmarks.md', folder);
const style = await prettier.resolveConfig(fileURLToPath(markdownFile));
const markdown = await prettier.format(writeReport(head, results), { ...style, parser: 'markdown' });
await writeFile(markdownFile, markdown);
await writeFile(new URL('benchmarks.svg', folder), drawChart(head, results));
process.stdout.write(`${markdown}\nWritten to ${fileURLToPath(folder)}\n`);
