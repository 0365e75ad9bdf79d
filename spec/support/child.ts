import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { PATIENCE } from './watchdog.js';

/** How a process ended. */
export interface Ending {
  /** Null when a signal ended it; the watchdog's is SIGKILL. */
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

/** Runs a script in a Node process of its own, until that ends by itself or the watchdog ends it. */
export function runScript(
  script: URL,
  args: string[],
  flags: string[] = [],
  patience: number = PATIENCE,
  env: Record<string, string> = {},
): Promise<Ending> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...flags, fileURLToPath(script), ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
    });
    const watchdog = setTimeout(() => child.kill('SIGKILL'), patience);
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(watchdog);
      resolve({ code, signal, stdout, stderr });
    });
  });
}
