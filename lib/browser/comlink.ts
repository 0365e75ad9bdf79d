import * as Comlink from 'comlink';

// As bundlers and import maps resolve it.
export { Comlink };
