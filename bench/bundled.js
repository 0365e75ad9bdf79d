import { copyFile } from 'node:fs/promises';
import { fileURLToPath, URL } from 'node:url';

const dist = new URL('../dist/', import.meta.url);

/** Where this package lies in three files instead of some fifty: what a thread runs in two, and all the rest in one. */
export const BUNDLED = new URL('./results/bundled/', import.meta.url);

/** Bundles what was built last. */
export async function bundle() {
  // Not loaded by those who only want to know where it is.
  const { build } = await import('esbuild-wasm');
  await build({
    entryPoints: ['index.js', 'node/worker-main.js'].map((file) => fileURLToPath(new URL(file, dist))),
    outdir: fileURLToPath(BUNDLED),
    entryNames: '[name]',
    bundle: true,
    platform: 'node',
    format: 'esm',
    logLevel: 'warning',
  });
  await copyFile(new URL('node/main.cjs', dist), new URL('main.cjs', BUNDLED));
}
