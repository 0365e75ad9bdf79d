/** ms on a clock that the page and its workers share: their own clocks start at different times. */
export function now(): number {
  return performance.timeOrigin + performance.now();
}
