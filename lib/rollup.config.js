// Puts what Node runs into a few files of CommonJS, which it loads in a fraction of the time: see docs/architecture.md.
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath, URL } from 'node:url';
import ts from 'typescript';

const lib = fileURLToPath(new URL('.', import.meta.url));
const bundle = fileURLToPath(new URL('../dist/bundle', import.meta.url));

/** What users import: each has a module beside its file. */
const ENTRIES = ['index', 'worker', 'process', 'server'];
/** What workers run. */
const GUESTS = ['node/worker-main', 'node/process-main', 'node/http-guest', 'node/socket-guest'];

/** Compiles as `tsc` does, but leaves the comments out: what is not there need not be read at each start. */
const typescript = {
  name: 'typescript',
  resolveId(id, importer) {
    // What `imports` of package.json says for Node.
    if (id.startsWith('#')) return `${lib}node/${id.slice(1)}.ts`;
    return id.startsWith('.') ? path.resolve(path.dirname(importer), id.replace(/\.js$/, '.ts')) : null;
  },
  async load(id) {
    const { outputText, sourceMapText } = ts.transpileModule(await readFile(id, 'utf8'), {
      fileName: id,
      compilerOptions: {
        target: ts.ScriptTarget.ES2023,
        module: ts.ModuleKind.ESNext,
        verbatimModuleSyntax: true,
        removeComments: true,
        sourceMap: true,
      },
    });
    return { code: outputText.replace(/\/\/# sourceMappingURL=.*\s*$/, ''), map: sourceMapText };
  },
  resolveImportMeta: (property) => (property === 'url' ? "require('node:url').pathToFileURL(__filename).href" : null),
  generateBundle(_options, files) {
    const emit = (fileName, source) => this.emitFile({ type: 'asset', fileName, source });
    emit('package.json', '{ "type": "commonjs" }\n');
    for (const name of ENTRIES) {
      const names = files[`${name}.js`].exports.join(', ');
      // Not by `import`, for which Node would load the lexer of CommonJS first. Tools that trace files know this form.
      emit(
        `${name}.mjs`,
        `import { createRequire } from 'node:module';\n` +
          `const require = createRequire(import.meta.url);\n` +
          `const { ${names} } = require('./${name}.js');\n` +
          `export { ${names} };\n`,
      );
    }
  },
};

const PROGRAM = `${lib}index.ts`;
const THREAD = `${lib}node/worker-main.ts`;

/** All that is loaded with a module, itself included. */
function loadedWith(id, getModuleInfo, loaded = new Set()) {
  if (loaded.has(id)) return loaded;
  loaded.add(id);
  for (const next of getModuleInfo(id)?.importedIds ?? []) loadedWith(next, getModuleInfo, loaded);
  return loaded;
}

/** Few files, of which neither a program nor a thread loads one that it does not need. */
function chunkOf(id, { getModuleInfo }) {
  const inProgram = loadedWith(PROGRAM, getModuleInfo).has(id);
  // Not the main file itself: to load it is to serve.
  const inThread = id !== THREAD && loadedWith(THREAD, getModuleInfo).has(id);
  if (inProgram && inThread) return 'shared';
  if (inProgram) return 'pool';
  return inThread ? 'guest' : undefined;
}

export default {
  input: Object.fromEntries([...ENTRIES, ...GUESTS].map((name) => [name.split('/').at(-1), `${lib}${name}.ts`])),
  external: (id) => !id.startsWith('.') && !id.startsWith('#') && !path.isAbsolute(id),
  plugins: [typescript],
  output: {
    dir: bundle,
    format: 'cjs',
    sourcemap: true,
    sourcemapExcludeSources: true,
    entryFileNames: '[name].js',
    chunkFileNames: 'chunk-[name].js',
    manualChunks: chunkOf,
    externalLiveBindings: false,
    generatedCode: 'es2015',
    esModule: false,
    interop: 'default',
  },
};
