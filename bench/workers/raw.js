// Bare postMessage. `[id, name, args]` is one task; `[id, name, argsList, true]` is a batch of them, answered in one message.
import { parentPort } from 'node:worker_threads';
import * as functions from './functions.js';

parentPort.on('message', ([id, name, args, batched]) => {
  if (name === 'pass') return parentPort.postMessage([id, args[0]], [args[0]]);
  const work = functions[name];
  parentPort.postMessage([id, batched ? args.map((each) => work(...each)) : work(...args)]);
});
