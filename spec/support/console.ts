/** What `console.error` is called with while `body` runs; nothing of it is printed. */
export async function consoleErrors(body: () => void | Promise<void>): Promise<unknown[][]> {
  const calls: unknown[][] = [];
  const original = console.error;
  console.error = (...args: unknown[]) => {
    calls.push(args);
  };
  try {
    await body();
  } finally {
    console.error = original;
  }
  return calls;
}
