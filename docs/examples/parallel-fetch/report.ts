/** Everything the example prints and measures; nothing here knows of pools. */
import { availableParallelism, cpus, type CpuInfo } from 'node:os';
import cliProgress, { type SingleBar } from 'cli-progress';
import Table from 'cli-table3';

/** A progress bar below the lines printed meanwhile; where there is no terminal, plain lines that count. */
export class Progress implements Disposable {
  #done = 0;
  readonly #title: string;
  readonly #total: number;
  readonly #screen: InstanceType<typeof cliProgress.MultiBar> | undefined;
  readonly #bar: SingleBar | undefined;

  constructor(title: string, total: number) {
    this.#title = title;
    this.#total = total;
    if (!process.stdout.isTTY) return;
    this.#screen = new cliProgress.MultiBar(
      {
        stream: process.stdout,
        format: `${title} [{bar}] {value} of {total}, {duration_formatted}`,
        // Both would change the terminal for as long as the bar is shown, and Ctrl-C would leave it so.
        linewrap: true,
        gracefulExit: false,
      },
      cliProgress.Presets.shades_classic,
    );
    this.#bar = this.#screen.create(total, 0);
  }

  /** One more is done; `line` says what. */
  step(line?: string): void {
    this.#done++;
    if (this.#bar) {
      if (line !== undefined) this.#screen?.log(`${line}\n`);
      this.#bar.increment();
    } else if (line !== undefined) {
      console.log(`[${String(this.#done).padStart(String(this.#total).length)}/${this.#total}] ${line}`);
    } else if (this.#done % 20 === 0 || this.#done === this.#total) {
      console.log(`${this.#title}: ${this.#done} of ${this.#total}`);
    }
  }

  [Symbol.dispose](): void {
    this.#screen?.update(); // prints the lines that wait for the next redraw
    this.#screen?.stop();
  }
}

/** What a piece of work took. */
export interface Cost {
  /** Wall-clock time. */
  ms: number;
  /** How many cores this process, all its threads together, kept busy on average. */
  cores: number;
  /** How busy each core of the machine was, 0 to 1, whoever kept it so. */
  load: number[];
}

/** Runs `work` and measures it. */
export async function measure(work: () => Promise<void>): Promise<Cost> {
  const coresBefore = cpus();
  const cpuBefore = process.cpuUsage();
  const start = performance.now();
  await work();
  const ms = performance.now() - start;
  const cpu = process.cpuUsage(cpuBefore);
  return {
    ms,
    cores: (cpu.user + cpu.system) / 1000 / ms,
    load: cpus().map(({ times }, core) => {
      const before = coresBefore[core]?.times ?? times;
      const total = sum(times) - sum(before);
      return total > 0 ? 1 - (times.idle - before.idle) / total : 0;
    }),
  };
}

const sum = (times: CpuInfo['times']): number => Object.values(times).reduce((a, b) => a + b, 0);
const seconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`;

export function heading(text: string): void {
  console.log(`\n${text}\n${'='.repeat(text.length)}`);
}

/** "1.9 of 2 cores busy (core 0: 98 %, core 1: 97 %)". */
export function coresUsed({ cores, load }: Cost): string {
  const each = load.map((share, core) => `core ${core}: ${Math.round(share * 100)} %`).join(', ');
  return `${cores.toFixed(1)} of ${availableParallelism()} cores busy (${each})`;
}

/** A line for each name with how often it occurs. */
export function tally(names: Iterable<string>): string {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts]
    .sort(([a], [b]) => a.localeCompare(b, 'en', { numeric: true }))
    .map(([name, count]) => `  ${name}  ${'■'.repeat(count)} ${count}`)
    .join('\n');
}

export function speedUpTable(work: string, oneAfterAnother: Cost, inThePool: Cost): string {
  const table = new Table({
    head: ['', 'one after another', 'in the pool', 'speed-up'],
    colAligns: ['left', 'right', 'right', 'right'],
    style: { head: [], border: [] },
  });
  const speedUp = `${(oneAfterAnother.ms / inThePool.ms).toFixed(1)} ×`;
  table.push([work, seconds(oneAfterAnother.ms), seconds(inThePool.ms), speedUp]);
  return table.toString();
}
