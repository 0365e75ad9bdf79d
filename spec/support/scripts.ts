/** Scripts in a process of their own that the test watches and ends. */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { eventually, settled } from './watchdog.js';

/** A script that runs until it ends or the test ends it. */
export class Script {
  readonly child: ChildProcess;
  readonly ended: Promise<{ code: number | null; signal: string | null }>;
  stdout = '';
  stderr = '';

  constructor(script: URL, args: string[] = []) {
    this.child = spawn(process.execPath, [fileURLToPath(script), ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => (this.stdout += text));
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
    this.ended = new Promise((resolve) => {
      this.child.once('exit', (code, signal) => {
        resolve({ code, signal });
      });
    });
  }

  /** What the groups of the pattern matched, once the script has printed that, or so many. */
  async printed(pattern: RegExp, count = 1): Promise<string[]> {
    const found = (): string[] => [...this.stdout.matchAll(new RegExp(pattern, 'g'))].map(([, group = '']) => group);
    await eventually(() => found().length >= count, `${String(pattern)} in the output (${this.stderr})`);
    return found();
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<{ code: number | null; signal: string | null }> {
    this.child.kill(signal);
    return settled(this.ended, `the end of the script by ${signal}`);
  }
}

/** Whether a process is there, and not only its entry in the table. */
export function lives(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  try {
    const stat = process.getBuiltinModule('node:fs').readFileSync(`/proc/${String(pid)}/stat`, 'utf8');
    return !/\) [ZX] /.test(stat);
  } catch {
    // Gone meanwhile, or a system without /proc.
    return process.platform !== 'linux';
  }
}
