// A poolifier task is one value: here the array of arguments. Priorities go by function; lower ones come first.
import { ThreadWorker } from 'poolifier';
import * as functions from './functions.js';

const taskFunctions = {};
for (const [name, work] of Object.entries(functions)) {
  const taskFunction = (args) => work(...args);
  taskFunctions[name] = name === 'spinLong' ? { taskFunction, priority: 19 } : { taskFunction };
}

export default new ThreadWorker(taskFunctions);
