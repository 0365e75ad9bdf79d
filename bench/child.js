// One workload, or one sample of one contender, in a process of its own. The last line of its output is the result.
import process from 'node:process';
import { parseArgs } from 'node:util';
import { runTogether } from './harness.js';

const { values: options } = parseArgs({
  options: { workload: { type: 'string' }, contender: { type: 'string' }, quick: { type: 'boolean', default: false } },
});

const { workload } = await import(`./workloads/${options.workload}.js`);
const result = options.contender
  ? await workload.alone(options.contender, workload.size(options.quick))
  : await runTogether(workload, options.quick);

// What still runs, a contender that was dropped for its slowness or a blocked worker, is not waited for.
const leave = workload.endsByItself ? undefined : () => process.exit();
process.stdout.write(`\n${JSON.stringify(result)}\n`, leave);
