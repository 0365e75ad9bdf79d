import { execFile, spawnSync } from 'node:child_process';
import { promisify } from 'node:util';
import { fileURLToPath } from 'node:url';
import { accessSync, constants, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { AssertionError } from 'chai';
import puppeteer from 'puppeteer-core';
import { build } from 'vite';
import { cases } from './runtimes/cases.js';
import { nodeCases } from './runtimes/node-cases.js';
import { pageCases } from './runtimes/page-cases.js';
import type { Outcomes } from './runtimes/run-cases.js';
import { serveFolder } from './support/static-server.js';

const run = promisify(execFile);
const pathTo = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** Tests of the same names as the cases, from what `start` gives; where that is undefined, there is no such runtime here. */
function describeCases(name: string, names: string[], start: () => Promise<Outcomes> | undefined): void {
  describe(name, () => {
    let outcomes: Outcomes;

    before('the cases are run', async function () {
      const running = start();
      if (running === undefined) this.skip();
      this.timeout(150_000);
      outcomes = await running;
    });

    for (const title of names) {
      it(title, () => {
        const outcome = outcomes[title];
        if (outcome === undefined) throw new AssertionError('it was not run');
        if (outcome !== null) throw new AssertionError(outcome);
      });
    }
  });
}

/** A runtime, installed from npm; where there is none for this system, it does not start. */
const runtimes: [name: string, ...command: string[]][] = [
  ['Node', process.execPath],
  ['Deno', pathTo('../node_modules/.bin/deno'), 'run', '--allow-all'],
  ['Bun', pathTo('../node_modules/.bin/bun')],
];

/** The names under which systems install browsers. */
const browsers = {
  chrome: ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'],
  firefox: ['firefox-esr', 'firefox'],
};

function executableOf(names: readonly string[]): string | undefined {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  return names
    .flatMap((name) => folders.map((folder) => join(folder, name)))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

describe('ThreadPoolExecutor on each runtime', () => {
  for (const [name, command, ...flags] of runtimes) {
    describeCases(`${name}, where the program ends by itself`, Object.keys({ ...cases, ...nodeCases }), () => {
      if (spawnSync(command!, ['--version']).status !== 0) return undefined;
      return run(command!, [...flags, pathTo('./runtimes/program.js')], { timeout: 140_000 }).then(
        ({ stdout }) => JSON.parse(stdout.trim().split('\n').at(-1)!) as Outcomes,
      );
    });
  }

  describe('a page that Vite has bundled', () => {
    let folder: string | undefined;

    /** The bundle, made once; in each its own file for the workers. */
    const bundled = (): Promise<string> =>
      (bundling ??= (async () => {
        folder = mkdtempSync(join(tmpdir(), 'page-'));
        const resolve = {
          // The package itself, as a dependency would be found.
          alias: {
            'concurrent-futures/worker': pathTo('../dist/worker.js'),
            'concurrent-futures': pathTo('../dist/index.js'),
          },
        };
        await build({
          root: pathTo('./runtimes'),
          configFile: false,
          logLevel: 'warn',
          base: './',
          resolve,
          worker: { format: 'es' },
          build: {
            outDir: folder,
            emptyOutDir: true,
            target: 'esnext',
            rolldownOptions: { input: pathTo('./runtimes/page.js'), output: { entryFileNames: 'page.js' } },
          },
        });
        return folder;
      })());
    let bundling: Promise<string> | undefined;

    after('the bundle is removed', () => {
      if (folder !== undefined) rmSync(folder, { recursive: true });
    });

    for (const [browser, names] of Object.entries(browsers) as ['chrome' | 'firefox', string[]][]) {
      for (const isolated of [true, false]) {
        const title = `${browser}, ${isolated ? 'isolated from other origins' : 'without memory to share'}`;
        describeCases(title, Object.keys({ ...cases, ...pageCases }), () => {
          const executablePath = executableOf(names);
          if (executablePath === undefined) return undefined;
          return (async () => {
            await using server = await serveFolder(await bundled(), isolated);
            const process = await puppeteer.launch({
              browser,
              executablePath,
              headless: true,
              // Chromium runs as root only without its sandbox.
              args: browser === 'chrome' ? ['--no-sandbox'] : [],
            });
            try {
              const page = await process.newPage();
              await page.goto(server.url);
              const outcomes = await page.waitForFunction(
                () => (globalThis as unknown as { outcomes?: Outcomes }).outcomes,
                { timeout: 140_000 },
              );
              return (await outcomes.jsonValue()) as Outcomes;
            } finally {
              await process.close();
            }
          })();
        });
      }
    }
  });
});
