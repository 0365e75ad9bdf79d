/** Lets every microtask that is due run, those that they queue included. */
export function flushMicrotasks(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

/** The reason that a promise rejects with; an error when it is fulfilled. A function that throws counts as rejecting. */
export async function rejection(promise: PromiseLike<unknown> | (() => PromiseLike<unknown>)): Promise<unknown> {
  let value: unknown;
  try {
    value = await (typeof promise === 'function' ? promise() : promise);
  } catch (error) {
    return error;
  }
  throw new Error(`expected a rejection, but it was fulfilled with ${String(value)}`);
}

/** How a promise stands once every microtask due has run. */
export async function stateOf(promise: PromiseLike<unknown>): Promise<'pending' | 'fulfilled' | 'rejected'> {
  let state: 'pending' | 'fulfilled' | 'rejected' = 'pending';
  promise.then(
    () => (state = 'fulfilled'),
    () => (state = 'rejected'),
  );
  await flushMicrotasks();
  return state;
}
