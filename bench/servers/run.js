// npm run bench:servers [-- --only siege,echo] [-- --quick]
//
// Servers and their clients are processes of their own, everything on the loopback interface. Within a workload the
// contenders take turns, round by round; ratios are of the same round. A full run writes docs/benchmarks-servers.md; any
// other writes the same into bench/results.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import os from 'node:os';
import process from 'node:process';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath, URL } from 'node:url';
import { parseArgs } from 'node:util';
import * as prettier from 'prettier';
import { advantage, formatNumber, summary } from '../statistics.js';
import { echoClients, siege, wrk } from './clients.js';
import { has, launch, run, runNode } from './launch.js';

const PROCESSES = 2;

const { values: options } = parseArgs({
  options: { only: { type: 'string', multiple: true }, quick: { type: 'boolean', default: false } },
});
const ROUNDS = options.quick ? 1 : 3;
/** ms of one contender's turn. */
const TURN = options.quick ? 2000 : 10_000;
/** ms before it: a server runs for days, and what a second of load has compiled of it is not what it runs then. */
const WARM_UP = options.quick ? 0 : 5000;
/** ms of random client behaviour, for each kind of executor. */
const RANDOM = options.quick ? 5000 : 600_000;

const http = (id, label, ...args) => ({ id, label, args });
const OURS = http('ours', `serveHttp, ${PROCESSES} processes`, 'http-ours.js', String(PROCESSES));
const ONE = http('one', 'serveHttp, 1 process', 'http-ours.js', '1');
const CLUSTER = http('cluster', `cluster, ${PROCESSES} processes`, 'http-cluster.js', String(PROCESSES));
const ACCEPTING = http(
  'accepting',
  `cluster, ${PROCESSES} processes that accept`,
  'http-cluster.js',
  String(PROCESSES),
  'accepting',
);
const PYTHON = http('python', 'Python, ThreadingMixIn', 'threading_http.py');

const THREADS = { id: 'threads', label: 'serveSockets, threads', args: ['echo-ours.js', 'threads'] };
const OWN_PROCESSES = { id: 'processes', label: 'serveSockets, processes', args: ['echo-ours.js', 'processes'] };
const PREFORKED = { id: 'preforked', label: 'serveSocketsPreforked', args: ['echo-preforked.js'] };
const HANDED = { id: 'handed', label: 'child.send by hand, 2 processes', args: ['echo-handed.js'] };
const BRIDGED = { id: 'bridged', label: 'postMessage by hand, 2 threads', args: ['echo-bridged.js'] };
const ACCEPTING_ECHO = { id: 'accepting', label: 'accepting by hand, 2 processes', args: ['echo-accepting.js'] };
const PYTHON_ECHO = { id: 'python', label: 'Python, ThreadPoolExecutor(128)', args: ['pool_echo.py'] };

const workloads = {
  siege: {
    title: 'HTTP, a connection for each request',
    what: '`siege -b -c 100`, a trivial handler.',
    needs: 'siege',
    contenders: [OURS, CLUSTER, ACCEPTING, PYTHON],
    client: ({ port }, ms) => siege(`http://127.0.0.1:${port}/`, ms),
    bars: [
      { text: 'failures', of: ({ ours }) => Math.max(...ours.failed), atMost: 0 },
      { text: 'as fast as cluster', ratio: ['ours', 'cluster'], atLeast: 1 },
      { text: '2.5 × ThreadingMixIn', ratio: ['ours', 'python'], atLeast: 2.5, limit: ACCEPTING },
    ],
  },
  work: {
    title: 'HTTP, 5 ms of work for each request',
    what: '`siege -b -c 100`, a handler that keeps a core busy for 5 ms.',
    needs: 'siege',
    contenders: [OURS, ONE, CLUSTER],
    client: ({ port }, ms) => siege(`http://127.0.0.1:${port}/work`, ms),
    bars: [
      { text: 'failures', of: ({ ours }) => Math.max(...ours.failed), atMost: 0 },
      { text: '1.8 × one process', ratio: ['ours', 'one'], atLeast: 1.8 },
    ],
  },
  wrk: {
    title: 'HTTP, connections that are kept',
    what: '`wrk -c 100`, a trivial handler.',
    needs: 'wrk',
    contenders: [OURS, CLUSTER],
    client: ({ port }, ms) => wrk(`http://127.0.0.1:${port}/`, ms),
    bars: [],
  },
  echo: {
    title: 'Echo, 100 persistent clients',
    what: 'Messages of 64 bytes, each sent when the echo of the one before has come.',
    contenders: [OWN_PROCESSES, PREFORKED, THREADS, HANDED, ACCEPTING_ECHO, BRIDGED, PYTHON_ECHO],
    client: ({ port }, ms) => echoClients(port, 'persistent', ms),
    bars: [
      { text: 'processes: 1.5 × Python', ratio: ['processes', 'python'], atLeast: 1.5, limit: HANDED },
      {
        text: 'preforked processes: 1.5 × Python',
        ratio: ['preforked', 'python'],
        atLeast: 1.5,
        limit: ACCEPTING_ECHO,
      },
      { text: 'threads: as fast as Python', ratio: ['threads', 'python'], atLeast: 1, limit: BRIDGED },
    ],
  },
  connect: {
    title: 'Echo, a connection for each message',
    what: 'As before; 100 clients, and a new connection for each message. Clients and server share the cores: what the server spends for each connection, the clients lack.',
    contenders: [OWN_PROCESSES, PREFORKED, THREADS, HANDED, ACCEPTING_ECHO, BRIDGED, PYTHON_ECHO],
    client: ({ port }, ms) => echoClients(port, 'connecting', ms),
    bars: [
      {
        text: 'preforked processes: as fast as Python',
        ratio: ['preforked', 'python'],
        atLeast: 1,
        limit: ACCEPTING_ECHO,
      },
      {
        text: 'processes that are handed sockets: as fast as Python',
        ratio: ['processes', 'python'],
        atLeast: 1,
        limit: HANDED,
      },
      { text: 'threads: as fast as Python', ratio: ['threads', 'python'], atLeast: 1, limit: BRIDGED },
    ],
  },
};

const special = { waiting, random };
const all = [...Object.keys(workloads), ...Object.keys(special)];
const names = options.only?.flatMap((list) => list.split(',')) ?? all;
for (const name of names) {
  if (!all.includes(name)) throw new RangeError(`No workload '${name}': there are ${all.join(', ')}`);
}
const tools = Object.fromEntries(
  await Promise.all(['siege', 'wrk', 'python3'].map(async (tool) => [tool, await has(tool)])),
);

async function compare({ title, what, needs, contenders, client, bars }) {
  const result = { title, what, rows: [], bars: [], notes: [] };
  if (needs !== undefined && !tools[needs]) {
    result.notes.push(`Not run: there is no \`${needs}\` here.`);
    return result;
  }
  const samples = new Map();
  for (const each of contenders) {
    if (!each.args[0].endsWith('.py') || tools.python3) samples.set(each, []);
    else result.notes.push(`${each.label}: not run, there is no \`python3\` here.`);
  }
  for (let round = 0; round < ROUNDS; round++) {
    for (const [each, figures] of samples) {
      const server = await launch(...each.args);
      try {
        if (WARM_UP > 0) await client(server, WARM_UP);
        const before = server.cpu();
        const figure = await client(server, TURN);
        // µs for each transaction, of all processes of the server.
        const cpu = before === undefined ? undefined : ((server.cpu() - before) * 1000) / ((figure.rate * TURN) / 1000);
        figures.push({ ...figure, cpu });
      } catch (error) {
        samples.delete(each);
        result.notes.push(`**${each.label} failed**: ${error.message}`);
      } finally {
        await server.stop();
      }
      await delay(200);
    }
  }
  const found = {};
  for (const [{ id, label }, figures] of samples) {
    const rate = summary(figures.map((each) => each.rate));
    const failed = figures.map((each) => each.failed);
    found[id] = { rate, failed };
    const spread = ROUNDS > 1 ? ` (${formatNumber(rate.min)} to ${formatNumber(rate.max)})` : '';
    const longest = Math.max(...figures.map((each) => each.longest));
    const costs = figures.map((each) => each.cpu).filter((cpu) => cpu !== undefined);
    const cpu = costs.length > 0 ? formatNumber(summary(costs).median) : '';
    result.rows.push([label, formatNumber(rate.median) + spread, formatNumber(longest), cpu, failed.join(' + ')]);
  }
  result.header = ['', 'transactions a second', 'longest, ms', 'CPU of the server, µs each', 'failed'];
  for (const bar of bars) {
    if (bar.ratio?.some((id) => !found[id]) || !found[contenders[0].id]) continue;
    const ratio = (a, b) => advantage(found[a].rate, found[b].rate, 'more');
    const value = bar.ratio ? ratio(...bar.ratio) : bar.of(found);
    const limit =
      bar.limit && found[bar.limit.id] && `${formatNumber(ratio(bar.limit.id, bar.ratio[1]))}: ${bar.limit.label}`;
    result.bars.push({ ...bar, value, limit });
  }
  return result;
}

async function waiting() {
  const measure = async (tasks, workers) => {
    const { error, stdout, stderr } = await runNode('waiting.js', [String(tasks), String(workers)], 60_000);
    if (error) throw new Error(stderr || error.message);
    return JSON.parse(stdout);
  };
  const MB = 2 ** 20;
  const rows = [];
  const few = await measure(2000, PROCESSES);
  const fifty = await measure(50, 50);
  const added = (few.waiting - few.before) / MB;
  const each = (fifty.waiting - fifty.before) / MB / 50;
  rows.push([
    `2,000 tasks in ${PROCESSES} threads`,
    formatNumber(few.before / MB),
    formatNumber(few.waiting / MB),
    formatNumber(added),
  ]);
  rows.push([
    'the same, with the threads',
    formatNumber(few.cold / MB),
    formatNumber(few.waiting / MB),
    formatNumber((few.waiting - few.cold) / MB),
  ]);
  rows.push([
    '50 tasks in 50 threads',
    formatNumber(fifty.before / MB),
    formatNumber(fifty.waiting / MB),
    formatNumber(each * 50),
  ]);
  rows.push(['2,000 tasks in 2,000 threads (projected)', '', '', formatNumber(each * 2000)]);
  return {
    title: 'Two thousand tasks that wait',
    what: 'Resident memory of a process with its threads, while tasks wait on a socket each.',
    header: ['', 'before, MB', 'all waiting, MB', 'added, MB'],
    rows,
    bars: [{ text: '2,000 waiting tasks, MB', value: added, atMost: 70 }],
    notes: [],
  };
}

async function random() {
  const rows = [];
  const bars = [];
  const notes = [];
  for (const kind of ['threads', 'processes', 'preforked']) {
    const { error, stdout, stderr } = await runNode('random.js', [kind, String(RANDOM), '1'], RANDOM + 60_000);
    if (error) {
      notes.push(`**${kind} failed**: ${stderr || error.message}`);
      continue;
    }
    const { stats, lost, served, slots, memory } = JSON.parse(stdout);
    rows.push([
      kind,
      stats.accepted,
      stats.completed,
      stats.failed,
      stats.refused,
      lost,
      `${memory.middle} → ${memory.last}`,
    ]);
    bars.push({ text: `${kind}: slots lost`, value: lost + slots - served, atMost: 0 });
    bars.push({
      text: `${kind}: memory of the last third over the middle one`,
      value: memory.last / memory.middle,
      atMost: 1.25,
    });
  }
  return {
    title: 'Clients that behave as they like',
    what: `${RANDOM / 1000} s each: polite, slow, half-open, resetting, silent, deaf and flooding clients, 64 at a time, 32 slots.`,
    header: ['', 'connections', 'served', 'failed', 'refused', 'slots lost', 'memory, MB, middle → last third'],
    rows,
    bars,
    notes,
  };
}

const table = (header, lines) =>
  [header, header.map((_, i) => (i === 0 ? '---' : '--:')), ...lines]
    .map((cells) => `| ${cells.join(' | ')} |`)
    .join('\n');

const loads = () =>
  os
    .loadavg()
    .map((value) => value.toFixed(2))
    .join(', ');
const loadBefore = loads();
const started = Date.now();
const results = [];
for (const name of names) {
  const before = Date.now();
  let result;
  try {
    result = await (special[name] ?? (() => compare(workloads[name])))();
  } catch (error) {
    result = { title: name, what: '', rows: [], bars: [], notes: [`This workload failed: ${error.message}`] };
  }
  results.push(result);
  process.stderr.write(`${name}: ${((Date.now() - before) / 1000).toFixed(1)} s\n`);
}

const version = async (command, pattern) => {
  if (!tools[command]) return `no ${command}`;
  const { stdout, stderr } = await run(command, [command === 'wrk' ? '-v' : '--version'], 5000);
  return `${command} ${pattern.exec(stdout + stderr)?.[1] ?? ''}`;
};
const { version: own } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8'));
const facts = [
  ['Date', new Date().toISOString().slice(0, 16).replace('T', ' ') + ' UTC'],
  ['Node', `${process.version}, ${os.platform()} ${os.arch()}; concurrent-futures ${own}`],
  [
    'Processor',
    `${os.cpus()[0]?.model.trim()}, ${os.availableParallelism()} cores, ${Math.round(os.totalmem() / 2 ** 30)} GB`,
  ],
  ['Load average', `${loadBefore} before, ${loads()} after (1, 5 and 15 minutes)`],
  [
    'With',
    (
      await Promise.all([
        version('siege', /SIEGE ([\d.]+)/i),
        version('wrk', /wrk (?:debian\/)?([\d.]+)/),
        version('python3', /Python ([\d.]+)/),
      ])
    ).join(', '),
  ],
  ['Rounds', `${ROUNDS} of ${TURN / 1000} s for each contender${options.quick ? ' (quick: figures are rough)' : ''}`],
  ['Took', `${Math.round((Date.now() - started) / 1000)} s`],
];
const bars = results.flatMap(({ title, bars }) =>
  bars.map(({ text, value, atLeast, atMost, limit = '' }) => [
    title,
    text,
    atLeast === undefined ? `≤ ${formatNumber(atMost)}` : `≥ ${formatNumber(atLeast)}`,
    formatNumber(value),
    (atLeast === undefined ? value <= atMost : value >= atLeast) ? 'met' : '**missed**',
    limit,
  ]),
);
const text = [
  '# Benchmarks of the servers',
  'Written by `npm run bench:servers`. Servers and clients are processes of their own on the loopback interface, and share its cores. Every server listens with a backlog of 512. Within a workload the contenders take turns, each after five seconds of load that are not counted; figures are medians of the rounds, with the smallest and the largest in brackets, and aims are judged by the median over the rounds of the ratio within a round. The longest transaction stands beside the rate because a server that leaves clients in the listen queue may have a fine rate.',
  table(['', ''], facts).replaceAll('--:', '---'),
  ...(bars.length > 0
    ? ['## Aims', table(['workload', 'aim', 'bound', 'measured', '', 'the same figure of what has no pool'], bars)]
    : []),
  ...results.flatMap(({ title, what, header, rows, notes }) => [
    `## ${title}`,
    what,
    ...(rows.length > 0 ? [table(header, rows)] : []),
    ...(notes.length > 0 ? [notes.map((note) => `- ${note}`).join('\n')] : []),
  ]),
].join('\n\n');

const complete = !options.quick && !options.only;
const folder = new URL(complete ? '../../docs/' : '../results/', import.meta.url);
await mkdir(folder, { recursive: true });
const file = fileURLToPath(new URL('benchmarks-servers.md', folder));
const markdown = await prettier.format(text, { ...(await prettier.resolveConfig(file)), parser: 'markdown' });
await writeFile(file, markdown);
process.stdout.write(`${markdown}\nWritten to ${file}\n`);
