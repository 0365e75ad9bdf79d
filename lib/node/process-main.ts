// What a child process of a pool runs: it serves, or imports the file of the executor's user that does.
import { pathToFileURL } from 'node:url';
import { serveTasks } from '../guest/serve.js';
import { useParentChannel } from './guest.js';
import { ParentChannel } from './process-guest.js';

useParentChannel(ParentChannel);

// As if Node had been given the file itself.
const [file] = process.argv.splice(1, process.argv.length - 1).slice(1);
if (file === undefined) {
  serveTasks(Object.create(null) as object);
} else {
  process.argv[1] = file;
  void import(pathToFileURL(file).href);
}
