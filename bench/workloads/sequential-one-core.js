import { workload as sequential } from './sequential.js';

/** @type {import('../harness.js').Workload} */
export const workload = {
  ...sequential,
  title: 'Sequential round trips on one core',
  what: 'The same, with all threads of the process on one core (`taskset`). Between cores a round trip is mostly the time that the system takes to wake one, which is different from one minute to the next; here it is what the libraries do.',
  under: ['taskset', '-c', '0'],
};
