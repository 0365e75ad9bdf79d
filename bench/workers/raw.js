// Bare postMessage. `[id, name, args]` is one task; `[id, name, argsList, true]` is a batch of them, answered in one message;
// with `claims`, the words from `first` on say which tasks of it are taken: this side begins none without taking it.
import { parentPort, workerData as claims } from 'node:worker_threads';
import * as functions from './functions.js';

/** A message an item, as far as the reader has given credit: each message of the reader is one more. */
function stream(items, credit, port) {
  function send() {
    for (; credit > 0; credit--) {
      const { value, done } = items.next();
      if (done) return port.close();
      port.postMessage(value);
    }
  }
  port.on('message', () => {
    credit++;
    send();
  });
  send();
}

const take = (word) => Atomics.compareExchange(claims, word, 0, 1) === 0;

parentPort.on('message', ([id, name, args, batched, first]) => {
  if (name === 'pass') return parentPort.postMessage([id, args[0]], [args[0]]);
  if (name === 'numbers') return stream(functions.numbers(args[0]), args[1], args[2]);
  const work = functions[name];
  if (first !== undefined) {
    return parentPort.postMessage([id, args.map((each, i) => (take(first + i) ? work(...each) : undefined))]);
  }
  parentPort.postMessage([id, batched ? args.map((each) => work(...each)) : work(...args)]);
});
