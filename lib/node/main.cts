// The file that Node runs in every thread and process of a pool that was not given a worker of its user's own.
//
// CommonJS: `require` loads the modules of this package several milliseconds faster than `import` does, which is a tenth of
// the time that a thread takes to start. Both give the same modules. Where something has been told to take part in loading,
// such as a TypeScript loader or a tracer, it may treat the two differently, so then it is `import`. So it is in threads of
// Node 20 to 23: one that is ended while `require` instantiates modules takes the whole program along (FATAL ERROR:
// v8::Module::IsGraphAsync), and no program can tell when that is.
const { parentPort } = process.getBuiltinModule('node:worker_threads');

/** Flags of Node by which others take part in loading. */
const PRELOADS = /^(-r|--require|--import|--loader|--experimental-loader)\b/;

const flags = [...process.execArgv, ...(process.env['NODE_OPTIONS'] ?? '').split(/\s+/)];

/** Node warns that `require` of modules is experimental. Users did not ask for it and can do nothing about it. */
function inSilence(load: () => void): void {
  // eslint-disable-next-line @typescript-eslint/unbound-method -- only put back
  const { emitWarning } = process;
  process.emitWarning = () => undefined;
  try {
    load();
  } finally {
    process.emitWarning = emitWarning;
  }
}

const entry = parentPort === null ? './process-main.js' : './worker-main.js';
const isFatal = parentPort !== null && Number.parseInt(process.versions.node, 10) < 24;
if (isFatal || flags.some((flag) => PRELOADS.test(flag))) {
  void import(entry);
} else {
  try {
    inSilence(() => {
      // eslint-disable-next-line @typescript-eslint/no-require-imports -- said above
      require(entry);
    });
  } catch {
    // Node was told not to, or is another runtime. A fault of the modules themselves comes up again.
    void import(entry);
  }
}
