import { EventEmitter } from 'node:events';
import { expect } from 'chai';
import { KeptListeners } from '../../dist/node/kept-listeners.js';
import { flushMicrotasks } from '../support/promises.js';

describe('KeptListeners', () => {
  const removals: Record<string, (emitter: EventEmitter) => void> = {
    'of one event': (emitter) => emitter.removeAllListeners('message').removeAllListeners('earlier'),
    'of all events': (emitter) => emitter.removeAllListeners(),
    'of all events, twice,': (emitter) => emitter.removeAllListeners().removeAllListeners(),
  };
  for (const [what, remove] of Object.entries(removals)) {
    it(`when the listeners ${what} are removed, those that are kept are there again, once each`, async () => {
      const emitter = new EventEmitter();
      const heard: string[] = [];
      emitter.on('earlier', () => heard.push('earlier'));
      const kept = new KeptListeners(emitter, ['earlier']);
      kept.on('message', () => heard.push('kept'));
      for (let i = 0; i < 2; i++) {
        emitter.on('message', () => heard.push('not kept'));
        remove(emitter);
        await flushMicrotasks();
        emitter.emit('earlier');
        emitter.emit('message');
        expect(heard.splice(0)).to.deep.equal(['earlier', 'kept']);
      }
    });
  }
});
