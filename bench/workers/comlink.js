import { parentPort } from 'node:worker_threads';
import * as Comlink from 'comlink';
import nodeEndpoint from 'comlink/dist/umd/node-adapter.js';
import * as functions from './functions.js';

Comlink.expose(
  {
    ...functions,
    pass: (buffer) => Comlink.transfer(buffer, [buffer]),
    numbers: (count) => Comlink.proxy(functions.numbers(count)),
  },
  nodeEndpoint(parentPort),
);
