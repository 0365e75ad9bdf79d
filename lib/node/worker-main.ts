// What a worker thread runs when the executor's user gave no worker of their own.
import { serveTasks } from '../guest/serve.js';

serveTasks(Object.create(null) as object);
