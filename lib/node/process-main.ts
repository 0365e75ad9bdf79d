// What a child process of a pool runs: it serves, or imports the file of the executor's user that does.
import { pathToFileURL } from 'node:url';
import { serveTasks } from '../guest/serve.js';
import { useParentChannel } from './guest.js';
import { ParentChannel } from './process-guest.js';

useParentChannel(ParentChannel);

const file = process.argv[2];
if (file === undefined) {
  serveTasks(Object.create(null) as object);
} else {
  // As if Node had been given the file itself.
  process.argv.splice(1, 1);
  void import(pathToFileURL(file).href);
}
