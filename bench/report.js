import { advantage, formatNumber } from './statistics.js';

/**
 * Adds what follows from a workload's figures: which bars are met, and where another is better.
 */
export function judge(result) {
  const { workload, rows } = result;
  const find = (id) => rows.find((row) => row.id === id);
  const times = (a, b, metric) =>
    advantage(find(a).metrics[metric], find(b).metrics[metric], workload.metrics[metric].better);

  function bestPool(metric) {
    const pools = rows.filter((row) => row.role === 'pool' && row.group === 'default' && row.metrics[metric]);
    return pools.toSorted((a, b) => (times(a.id, b.id, metric) > 1 ? -1 : 1))[0].id;
  }

  let bars = [];
  try {
    bars = workload.bars?.({ times, bestPool, row: (id) => find(id).metrics, size: workload.size(result.quick) }) ?? [];
  } catch {
    result.notes.push('The bars could not be judged: a figure they need is missing.');
  }
  for (const bar of bars) bar.met = bar.atLeast === undefined ? bar.value <= bar.atMost : bar.value >= bar.atLeast;

  const worse = [];
  for (const row of rows) {
    const own = rows.find(({ role, group }) => role === 'ours' && group === row.group);
    row.ratios = {};
    if (!own || own === row) continue;
    for (const [metric, { better }] of Object.entries(workload.metrics)) {
      if (!row.metrics[metric] || !own.metrics[metric]) continue;
      const ratio = advantage(own.metrics[metric], row.metrics[metric], better);
      row.ratios[metric] = ratio;
      if (ratio < 1 && (row.role === 'pool' || row.role === 'raw')) worse.push({ row, own, metric, ratio });
    }
  }
  return { ...result, bars, worse };
}

const formatRatio = (ratio) => {
  const text = `${formatNumber(ratio)}×`;
  return ratio < 1 ? `**${text}**` : text;
};

const table = (header, lines) =>
  [header, header.map((_, i) => (i === 0 ? '---' : '--:')), ...lines]
    .map((cells) => `| ${cells.join(' | ')} |`)
    .join('\n');

function metricTable({ workload, rows }) {
  const metrics = Object.entries(workload.metrics);
  const header = [
    '',
    ...metrics.flatMap(([, { label, unit }]) => [unit === '/s' ? label : `${label}, ${unit}`, 'ours is']),
  ];
  return table(
    header,
    rows.map((row) => [
      row.role === 'ours' ? `**${row.label}**` : row.label,
      ...metrics.flatMap(([metric]) => {
        const figure = row.metrics[metric];
        if (!figure) return ['–', ''];
        const spread = figure.values.length > 1 ? ` (${formatNumber(figure.min)} to ${formatNumber(figure.max)})` : '';
        const ratio = row.ratios[metric];
        return [formatNumber(figure.median) + spread, ratio === undefined ? '' : formatRatio(ratio)];
      }),
    ]),
  );
}

function section(result) {
  const { workload, rows, notes } = result;
  const parts = [`## ${workload.title}`, workload.what];
  if (rows.length > 0) parts.push(metricTable(result));
  if (notes.length > 0) parts.push(notes.map((note) => `- ${note}`).join('\n'));
  return parts.join('\n\n');
}

function barsSection(results) {
  const lines = results.flatMap(({ workload, bars }) =>
    bars.map(({ text, value, atLeast, atMost, met, limit }) => [
      workload.title,
      text,
      atLeast === undefined ? `≤ ${formatNumber(atMost)}` : `≥ ${formatNumber(atLeast)}`,
      formatNumber(value),
      met ? 'met' : '**missed**',
      limit === undefined ? '' : `${formatNumber(limit.value)}: ${limit.text}`,
    ]),
  );
  if (lines.length === 0) return [];
  const header = ['workload', 'aim', 'bound', 'measured', '', 'the same figure of what has no pool'];
  const what =
    'The last column says how near to the bound the same work comes in the same run where no pool is in the way: without a queue, without cancelling, without protection.';
  return ['## Aims', table(header, lines), what];
}

function worseList(results, role) {
  return results.flatMap(({ workload, worse }) =>
    worse
      .filter(({ row }) => row.role === role)
      .map(({ row, own, metric, ratio }) => {
        const [ours, theirs] = [own.metrics[metric], row.metrics[metric]];
        const overlap = ours.min <= theirs.max && theirs.min <= ours.max;
        const { label, unit } = workload.metrics[metric];
        const figures = `${row.label} ${formatNumber(theirs.median)} ${unit}, ${own.label} ${formatNumber(ours.median)} ${unit}`;
        return `- ${workload.title}, ${label}: ${figures} (${formatNumber(ratio)}×${overlap ? '; the spreads overlap' : ''})`;
      }),
  );
}

function worseSection(results) {
  const pools = worseList(results, 'pool');
  const raw = worseList(results, 'raw');
  return [
    '## Where another is better',
    pools.length > 0 ? pools.join('\n') : 'No pool is better in any figure of this run.',
    ...(raw.length > 0 ? ['Without a pool’s queue, cancelling and protection:', raw.join('\n')] : []),
  ];
}

const loads = (load) => load.map((value) => value.toFixed(2)).join(', ');

/** The whole report as Markdown. */
export function writeReport(head, results) {
  const facts = [
    ['Date', head.date],
    ['Node', `${head.node}, ${head.platform}`],
    ['Processor', `${head.cpu}, ${head.cores} cores, ${Math.round(head.memory / 2 ** 30)} GB`],
    ['Workers', `${head.workers} in every pool`],
    ['Load average', `${loads(head.loadBefore)} before, ${loads(head.loadAfter)} after (1, 5 and 15 minutes)`],
    ['Compared with', head.packages.join(', ')],
    [
      'Took',
      `${Math.round(head.seconds)} s${head.quick ? ' (quick: less work and fewer rounds, figures are rough)' : ''}`,
    ],
  ];
  return [
    '# Benchmarks',
    'Written by `npm run bench`. Within a workload the contenders take turns, round by round, in one process that starts and warms up all of them first; where a fresh process is named, every sample has its own. Figures are medians of the rounds, with the smallest and the largest in brackets. “Ours is” says how many times as good concurrent-futures did (the median over the rounds of the ratio within a round): below 1, in bold, the other is better. Raw postMessage and raw Comlink have no queue, no cancelling and no protection against dying workers.',
    table(['', ''], facts).replaceAll('--:', '---'),
    '![The same figures as bars](./benchmarks.svg)',
    ...barsSection(results),
    ...worseSection(results),
    ...results.map(section),
  ].join('\n\n');
}
