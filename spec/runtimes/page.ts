/** Runs the cases in a page. */
import { cases } from './cases.js';
import { pageCases } from './page-cases.js';
import { runCases } from './run-cases.js';

/** Of a page, as far as it is used here. */
declare const Worker: new (url: URL, options: { type: 'module'; name?: string }) => object;
const page = globalThis as unknown as { crossOriginIsolated: boolean; outcomes?: object };

// In this form bundlers see the file of the worker.
const makeWorker = () => new Worker(new URL('./own-worker.js', import.meta.url), { type: 'module' });

page.outcomes = await runCases({ ...cases, ...pageCases }, () => makeWorker, page.crossOriginIsolated);
