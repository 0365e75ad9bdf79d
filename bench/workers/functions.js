// The work itself: every contender runs these functions, through whatever entry its library asks for.
import { performance } from 'node:perf_hooks';

export function add(a, b) {
  return a + b;
}

export function increment(value) {
  return value + 1;
}

export function factorial(n) {
  let product = 1n;
  for (let factor = 2n; factor <= n; factor++) product *= factor;
  return product;
}

/** A stream of small items. */
export function* numbers(count) {
  for (let i = 0; i < count; i++) yield i;
}

/** Hands back what it was given: copied on the way in and on the way out. */
export function echo(value) {
  return value;
}

/** Keeps the thread busy for `milliseconds`. */
export function spin(milliseconds) {
  const end = performance.now() + milliseconds;
  while (performance.now() < end);
  return milliseconds;
}

/** `spin` under a second name, for libraries whose priorities go by the function's name. */
export function spinLong(milliseconds) {
  return spin(milliseconds);
}

/** Counts itself in, then blocks the thread until the host opens the gate. */
export function gate(shared) {
  const cells = new Int32Array(shared);
  Atomics.add(cells, 1, 1);
  Atomics.notify(cells, 1);
  Atomics.wait(cells, 0, 0);
  return true;
}

/** Runs the factorials of one worker's share in a plain loop: nothing is sent but the order and the end. */
export function factorialLoop(n, times) {
  let bits = 0;
  for (let i = 0; i < times; i++) if (factorial(n) > 0n) bits++;
  return bits;
}
