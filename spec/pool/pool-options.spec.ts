import { expect } from 'chai';
import { ThreadPoolExecutor } from 'concurrent-futures';
import { checkPoolOptions, checkSizes } from '../../dist/pool/pool-options.js';

const check = (options: object, parallelism = 4) => checkPoolOptions(options, 'SomeExecutor', parallelism);

/** Options that count something: the least that they take, and whether they may be endless. */
const counts = [
  { name: 'maxWorkers', least: 1, endless: false },
  { name: 'minWorkers', least: 0, endless: false },
  { name: 'minSpareWorkers', least: 0, endless: false },
  { name: 'concurrentTasksPerWorker', least: 1, endless: false },
  { name: 'maxTasksPerWorker', least: 1, endless: true },
  { name: 'maxQueueSize', least: 0, endless: true },
];

/** What kinds other than numbers, functions and strings may be given by mistake. */
const nonsense: [string, unknown][] = [
  ['true', true],
  ['5', 5n],
  ['an object (Object)', {}],
  ['Symbol(s)', Symbol('s')],
];

describe('checkPoolOptions', () => {
  it('checkPoolOptions gives the documented defaults', () => {
    expect(check({})).to.deep.equal({
      maxWorkers: 4,
      minWorkers: 0,
      minSpareWorkers: 0,
      idleTimeout: 60_000,
      concurrentTasksPerWorker: 1,
      maxTasksPerWorker: Infinity,
      maxQueueSize: Infinity,
      threadNamePrefix: 'SomeExecutor',
      initializer: undefined,
      initargs: [],
      onWorkerError: undefined,
    });
  });

  it('checkPoolOptions takes undefined for an option that is not given', () => {
    const none = Object.fromEntries(Object.keys(check({})).map((name) => [name, undefined]));
    expect(check(none)).to.deep.equal(check({}));
  });

  it('checkPoolOptions raises the default ceiling for a floor above it', () => {
    expect(check({ minWorkers: 10 }).maxWorkers).to.equal(10);
    expect(check({ minWorkers: 2 }).maxWorkers).to.equal(4);
  });

  for (const { name, least, endless } of counts) {
    it(`${name} takes whole numbers from ${String(least)} on${endless ? ', and Infinity' : ''}`, () => {
      const good = endless ? [least, least + 1, 1000, Infinity] : [least, least + 1];
      for (const value of good) expect(check({ [name]: value })).to.have.property(name, value);
    });

    const bad = [least - 1, -1, least + 0.5, NaN, -Infinity, 2 ** 53, ...(endless ? [] : [Infinity])];
    for (const value of bad) {
      it(`${name} of ${String(value)} is a RangeError that names the option, the bound and the value`, () => {
        expect(() => check({ [name]: value })).to.throw(
          RangeError,
          `'${name}' must be a whole number of at least ${String(least)}: received ${String(value)}`,
        );
      });
    }

    for (const [shown, value] of [['"4"', '4'], ['a function', () => 4] as const, ...nonsense]) {
      it(`${name} of ${shown} is a TypeError that names the option and the value`, () => {
        expect(() => check({ [name]: value })).to.throw(TypeError, `'${name}' must be a number: received ${shown}`);
      });
    }
  }

  it('idleTimeout takes ms from 0 on, fractions and Infinity included', () => {
    for (const value of [0, 0.5, 1, Infinity]) expect(check({ idleTimeout: value }).idleTimeout).to.equal(value);
  });

  it('idleTimeout refuses what is below 0 or no number', () => {
    for (const value of [-1, -0.5, NaN, -Infinity]) {
      expect(() => check({ idleTimeout: value })).to.throw(
        RangeError,
        `'idleTimeout' must be a number of ms of at least 0: received ${String(value)}`,
      );
    }
    for (const [shown, value] of [['"4"', '4'], ...nonsense] as const) {
      expect(() => check({ idleTimeout: value })).to.throw(
        TypeError,
        `'idleTimeout' must be a number of ms: received ${shown}`,
      );
    }
  });

  for (const [name, kind] of [
    ['initializer', 'a function'],
    ['onWorkerError', 'a function'],
    ['initargs', 'an array'],
    ['threadNamePrefix', 'a string'],
  ] as const) {
    it(`${name} is ${kind}, or a TypeError that names the option and the value`, () => {
      for (const [shown, value] of [['4', 4], ['null', null], ...nonsense] as const) {
        expect(() => check({ [name]: value }), shown).to.throw(
          TypeError,
          `'${name}' must be ${kind}: received ${shown}`,
        );
      }
    });
  }

  it('minWorkers above maxWorkers is a RangeError that names both and their values', () => {
    expect(() => check({ maxWorkers: 2, minWorkers: 3 })).to.throw(
      RangeError,
      "'minWorkers' must not be above 'maxWorkers': received 3 and 2",
    );
  });

  it('minSpareWorkers may be above maxWorkers, which bounds it', () => {
    expect(check({ maxWorkers: 2, minSpareWorkers: 3 }).minSpareWorkers).to.equal(3);
  });

  it('options that are no object are a TypeError that names the owner', () => {
    for (const given of [null, 5, 'x', () => 1]) {
      expect(() => check(given as object)).to.throw(TypeError, 'SomeExecutor');
    }
  });

  it('checkPoolOptions reads own options only, whatever Object.prototype holds', () => {
    const polluted = Object.prototype as unknown as Record<string, unknown>;
    const names = Object.keys(check({}));
    const clean = check({});
    try {
      for (const name of names) polluted[name] = name === 'maxQueueSize' ? 0 : 'polluted';
      const read = check({});
      for (const name of names)
        expect(Object.getOwnPropertyDescriptor(read, name)?.value).to.deep.equal(clean[name as 'maxWorkers']);
    } finally {
      for (const name of names) Reflect.deleteProperty(polluted, name);
    }
  });
});

describe('checkSizes', () => {
  const current = { maxWorkers: 4, minWorkers: 2, minSpareWorkers: 1 };

  it('checkSizes keeps what is not given', () => {
    expect(checkSizes({}, current)).to.deep.equal(current);
    expect(checkSizes({ maxWorkers: 8 }, current)).to.deep.equal({ ...current, maxWorkers: 8 });
    expect(current).to.deep.equal({ maxWorkers: 4, minWorkers: 2, minSpareWorkers: 1 });
  });

  it('checkSizes checks what is given against what stays', () => {
    expect(() => checkSizes({ maxWorkers: 1 }, current)).to.throw(RangeError, "'minWorkers'");
    expect(() => checkSizes({ minWorkers: 5 }, current)).to.throw(RangeError, "'minWorkers'");
    expect(checkSizes({ maxWorkers: 1, minWorkers: 1 }, current).maxWorkers).to.equal(1);
  });
});

describe('ThreadPoolExecutor options', () => {
  it('ThreadPoolExecutor takes maxWorkers alone, with options, or among them', async () => {
    const executors = [
      new ThreadPoolExecutor(3),
      new ThreadPoolExecutor(3, { idleTimeout: 5 }),
      new ThreadPoolExecutor({ maxWorkers: 3 }),
      new ThreadPoolExecutor(undefined, { maxWorkers: 3 }),
    ];
    await Promise.all(executors.map((executor) => executor.shutdown()));
    for (const maxWorkers of [0, -1, 1.5, NaN, Infinity]) {
      expect(() => new ThreadPoolExecutor(maxWorkers)).to.throw(RangeError, "'maxWorkers'");
      expect(() => new ThreadPoolExecutor({ maxWorkers })).to.throw(RangeError, "'maxWorkers'");
    }
  });

  it('ThreadPoolExecutor refuses a worker or workerOptions of the wrong kind', () => {
    for (const worker of [5, {}, null, true]) {
      expect(() => new ThreadPoolExecutor({ worker: worker as never })).to.throw(TypeError, "'worker'");
    }
    for (const workerOptions of [5, 'x', null, true]) {
      expect(() => new ThreadPoolExecutor({ workerOptions: workerOptions as never })).to.throw(
        TypeError,
        "'workerOptions'",
      );
    }
  });
});
