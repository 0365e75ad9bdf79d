/** The environment variable that tells a process of a pool from one that was forked for something else: its parent's id. */
export const WORKER_MARK = 'CONCURRENT_FUTURES_WORKER';
