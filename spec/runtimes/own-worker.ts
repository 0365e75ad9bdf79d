import { expose } from 'concurrent-futures/worker';
import * as tasks from './tasks.js';

expose(tasks);
