import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { flushMicrotasks } from './promises.js';

let collect: (() => void) | undefined;

/** Collects garbage, and lets what waits for that (finalizers, weak references) take notice. */
export async function collectGarbage(): Promise<void> {
  if (collect === undefined) {
    setFlagsFromString('--expose-gc');
    collect = runInNewContext('gc') as () => void;
  }
  for (let i = 0; i < 5; i++) {
    await flushMicrotasks();
    collect();
  }
  await flushMicrotasks();
}

/** How many of the objects are still reachable. */
export async function survivors(references: WeakRef<object>[]): Promise<number> {
  await collectGarbage();
  return references.filter((reference) => reference.deref() !== undefined).length;
}
