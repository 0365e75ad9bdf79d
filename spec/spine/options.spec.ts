import { expect } from 'chai';
import { checkCount, checkDuration, checkFunction, checkSignal, readOptions, show } from '../../dist/options.js';
import { checkTimeout } from '../../dist/timeouts.js';

describe('options', () => {
  describe('readOptions', () => {
    it('readOptions copies what was given, and gives nothing for undefined', () => {
      const given = { a: 1 };
      const read = readOptions(given, 'it');
      given.a = 2;
      expect(read.a).to.equal(1);
      expect(Object.keys(readOptions(undefined, 'it'))).to.deep.equal([]);
    });

    it('readOptions ignores what is inherited, and what Object.prototype is polluted with', () => {
      const polluted = Object.prototype as { timeout?: unknown };
      try {
        polluted.timeout = 1;
        const read = readOptions<{ timeout?: unknown; a?: number }>(Object.create({ a: 1 }) as object, 'it');
        expect(read.timeout).to.equal(undefined);
        expect(read.a).to.equal(undefined);
      } finally {
        delete polluted.timeout;
      }
    });

    it('readOptions takes a key named __proto__ for a key like others', () => {
      const read = readOptions(JSON.parse('{ "__proto__": { "timeout": 1 } }') as { timeout?: number }, 'it');
      expect(read.timeout).to.equal(undefined);
    });

    it('readOptions refuses what is no object, naming the owner', () => {
      for (const given of [null, 5, 'x', true, () => 1]) {
        expect(() => readOptions(given as never, 'the spec')).to.throw(TypeError, 'the spec');
      }
    });
  });

  describe('checkCount', () => {
    it('checkCount passes whole numbers from the least on', () => {
      expect([checkCount(1, 'n', 1), checkCount(0, 'n', 0), checkCount(2 ** 53 - 1, 'n', 1)]).to.deep.equal([
        1,
        0,
        2 ** 53 - 1,
      ]);
    });

    it('checkCount refuses numbers out of range with a RangeError that names option, bound and value', () => {
      for (const value of [0, -1, 1.5, NaN, Infinity, -Infinity, 2 ** 53]) {
        expect(() => checkCount(value, 'workers', 1)).to.throw(
          RangeError,
          `'workers' must be a whole number of at least 1: received ${String(value)}`,
        );
      }
    });

    it('checkCount refuses other kinds with a TypeError', () => {
      for (const value of [undefined, null, '1', 1n, {}, [1]]) {
        expect(() => checkCount(value, 'workers', 1)).to.throw(TypeError, "'workers'");
      }
    });

    it('checkCount passes Infinity where there may be no limit', () => {
      expect(checkCount(Infinity, 'n', 1, true)).to.equal(Infinity);
      expect(() => checkCount(-Infinity, 'n', 1, true)).to.throw(RangeError);
    });
  });

  describe('checkDuration', () => {
    it('checkDuration passes ms from 0 on, fractions and Infinity included', () => {
      for (const value of [0, 0.5, 1000, Infinity]) expect(checkDuration(value, 'idleTimeout')).to.equal(value);
    });

    it('checkDuration refuses negative numbers and NaN with a RangeError, other kinds with a TypeError', () => {
      for (const value of [-1, -Infinity, NaN]) {
        expect(() => checkDuration(value, 'idleTimeout')).to.throw(RangeError, "'idleTimeout'");
      }
      for (const value of [undefined, null, '5', 5n]) {
        expect(() => checkDuration(value, 'idleTimeout')).to.throw(TypeError, "'idleTimeout'");
      }
    });
  });

  describe('checkTimeout', () => {
    it('checkTimeout gives the ms to wait, or undefined for no limit', () => {
      const table = [
        [undefined, undefined],
        [Infinity, undefined],
        [2 ** 31, undefined],
        [2 ** 31 - 1, 2 ** 31 - 1],
        [0, 0],
        [-1, 0],
        [-Infinity, 0],
        [0.5, 0.5],
      ];
      for (const [given, limit] of table) expect(checkTimeout(given)).to.equal(limit);
    });

    it('checkTimeout refuses NaN with a RangeError and other kinds with a TypeError, naming the option', () => {
      expect(() => checkTimeout(NaN, 'limit')).to.throw(RangeError, "'limit'");
      for (const value of [null, '5', 5n, {}])
        expect(() => checkTimeout(value, 'limit')).to.throw(TypeError, "'limit'");
    });
  });

  it('checkFunction passes functions and undefined, and refuses the rest with a TypeError', () => {
    checkFunction(undefined, 'onProgress');
    checkFunction(() => 1, 'onProgress');
    for (const value of [null, 1, {}]) {
      expect(() => {
        checkFunction(value, 'onProgress');
      }).to.throw(TypeError, "'onProgress'");
    }
  });

  it('checkSignal passes AbortSignals and undefined, and refuses the rest with a TypeError', () => {
    checkSignal(undefined);
    checkSignal(new AbortController().signal);
    for (const value of [null, 1, {}, new EventTarget()]) {
      expect(() => {
        checkSignal(value);
      }).to.throw(TypeError, "'signal'");
    }
  });

  it('show names any value shortly and never throws', () => {
    expect(show('a')).to.equal('"a"');
    expect(show('a'.repeat(100))).to.have.length(62);
    expect(show(null)).to.equal('null');
    expect(show(undefined)).to.equal('undefined');
    expect(show(Symbol('s'))).to.equal('Symbol(s)');
    expect(show(5n)).to.equal('5');
    expect(show(Object.create(null))).to.equal('an object (Object)');
    expect(show([])).to.equal('an object (Array)');
    expect(show(() => 1)).to.equal('a function');
  });
});
