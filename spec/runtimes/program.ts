/** Runs the cases in the runtime that it is given to, prints what came of each, and ends by itself. */
import { cases } from './cases.js';
import { nodeCases } from './node-cases.js';
import { runCases } from './run-cases.js';

const worker = new URL('./own-worker.js', import.meta.url);
console.log(JSON.stringify(await runCases({ ...cases, ...nodeCases }, () => worker, true)));
