/** What a worker posts by its task port beside the pool's messages, because a browser tells nobody. */

/** It listens. */
export const CONNECTED = 'connected';
/** It closes itself. */
export const CLOSED = 'closed';
