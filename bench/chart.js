import { formatNumber } from './statistics.js';

const WIDTH = 820;
const LEFT = 250; // where bars begin
const RIGHT = 100; // kept free for the figures
const ROW = 22;
const TITLE = 46;
const GAP = 22;

const STYLE = `
  .paper { fill: #ffffff; }
  text { font: 13px system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif; fill: #24292f; }
  .title { font-size: 15px; font-weight: 600; }
  .small { font-size: 12px; fill: #57606a; }
  .ours-text { font-weight: 600; }
  .ours { fill: #0a7f5a; }
  .pool { fill: #7d8fa9; }
  .raw, .reference { fill: #c3ccd8; }
  .spread { stroke: #24292f; stroke-width: 1.5; opacity: 0.6; }
  .axis { stroke: #d0d7de; }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #0d1117; }
    text { fill: #e6edf3; }
    .small { fill: #9198a1; }
    .ours { fill: #3fb98a; }
    .pool { fill: #6e7f98; }
    .raw, .reference { fill: #424c5a; }
    .spread { stroke: #e6edf3; }
    .axis { stroke: #30363d; }
  }`;

const escape = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
const px = (value) => Number(value.toFixed(1));

function panel({ workload, rows }, top) {
  const [metric, { label, unit, better }] = Object.entries(workload.metrics)[0];
  const shown = rows.filter((row) => row.metrics[metric]);
  // One outlier may leave the picture, so that the bars stay comparable.
  const medians = shown.map((row) => row.metrics[metric].median);
  const largest = Math.min(Math.max(...shown.map((row) => row.metrics[metric].max)), 1.5 * Math.max(...medians));
  const scale = (value) => (Math.min(largest, Math.max(0, value)) / largest) * (WIDTH - LEFT - RIGHT);
  const first = top + TITLE;
  const bars = shown.map((row, i) => {
    const { median, min, max } = row.metrics[metric];
    const y = first + i * ROW;
    const middle = y + ROW / 2;
    const own = row.role === 'ours' ? ' class="ours-text"' : '';
    return `<text x="${LEFT - 10}" y="${middle + 4.5}" text-anchor="end"${own}>${escape(row.label)}</text>
<rect class="${row.role}" x="${LEFT}" y="${y + 3}" width="${px(Math.max(1, scale(median)))}" height="${ROW - 6}" rx="2"/>
<line class="spread" x1="${px(LEFT + scale(min))}" x2="${px(LEFT + scale(max))}" y1="${middle}" y2="${middle}"/>
<text x="${px(LEFT + scale(max) + 8)}" y="${middle + 4.5}"${own}>${formatNumber(median)}</text>`;
  });
  const height = TITLE + shown.length * ROW + GAP;
  const scaleText = `${unit === '/s' ? label : `${label}, ${unit}`}; ${better === 'more' ? 'more' : 'less'} is better`;
  const svg = `<text class="title" x="20" y="${top + 16}">${escape(workload.title)}</text>
<text class="small" x="20" y="${top + 34}">${escape(scaleText)}</text>
${bars.join('\n')}
<line class="axis" x1="${LEFT}" x2="${LEFT}" y1="${first}" y2="${first + shown.length * ROW}"/>`;
  return { svg, height };
}

/** The first metric of every workload as horizontal bars, the spread drawn over each. */
export function drawChart(head, results) {
  let height = 46;
  const panels = [];
  for (const result of results.filter(({ rows }) => rows.length > 0)) {
    const drawn = panel(result, height);
    panels.push(drawn.svg);
    height += drawn.height;
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-labelledby="title">
<title id="title">Benchmarks of concurrent-futures and other worker pools</title>
<style>${STYLE}
</style>
<rect class="paper" width="${WIDTH}" height="${height}" rx="6"/>
<text class="small" x="20" y="26">${escape(`Node ${head.node}, ${head.cores} cores, ${head.workers} workers; bars are medians, lines the smallest to the largest`)}</text>
${panels.join('\n')}
</svg>
`;
}
