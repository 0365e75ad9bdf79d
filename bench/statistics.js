/** @param {number[]} values */
export function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** @param {number[]} values */
export function summary(values) {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values), values };
}

/** The value below which `share` (0 to 1) of the values lie. */
export function quantile(values, share) {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)];
}

/**
 * How many times as good the first is as the second. Samples of the same round are compared with each other, so that
 * what slows down a whole round cancels out.
 * @param {{ median: number, values: number[] }} a
 * @param {{ median: number, values: number[] }} b
 * @param {'more' | 'less'} better
 */
export function advantage(a, b, better) {
  const ratio = (x, y) => (better === 'more' ? x / y : y / x);
  if (a.values.length !== b.values.length) return ratio(a.median, b.median);
  return median(a.values.map((value, round) => ratio(value, b.values[round])));
}

/** Three digits that count, thousands separated. */
export function formatNumber(value) {
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value) || 1)));
  const rounded = digits > 0 ? value : Number(value.toPrecision(3));
  return rounded.toLocaleString('en', { maximumFractionDigits: digits, minimumFractionDigits: Math.min(digits, 2) });
}
