import workerpool from 'workerpool';
import * as functions from './functions.js';

workerpool.worker({ ...functions, pass: (buffer) => new workerpool.Transfer(buffer, [buffer]) });
