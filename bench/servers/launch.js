import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { fileURLToPath, URL } from 'node:url';

const path = (file) => fileURLToPath(new URL(file, import.meta.url));

/**
 * Starts a server of ./servers in a process of its own; it prints its port, and ends when its input does.
 * @returns {Promise<{ port: number, pid: number, stop: () => Promise<void> }>}
 */
export async function launch(file, ...args) {
  const command = file.endsWith('.py') ? 'python3' : process.execPath;
  const child = spawn(command, [path(`servers/${file}`), ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  const lines = createInterface({ input: child.stdout });
  const [line] = await Promise.race([
    once(lines, 'line'),
    ended.then(([code]) => Promise.reject(new Error(`${file} ended with code ${code} before it listened`))),
  ]);
  return {
    port: Number(line),
    pid: child.pid,
    async stop() {
      child.stdin.end();
      const timer = setTimeout(() => child.kill('SIGKILL'), 5000);
      await ended;
      clearTimeout(timer);
    },
  };
}

/** Runs a command, bounded in time. @returns what it printed, and how it ended */
export function run(command, args, timeout) {
  return new Promise((resolve) => {
    execFile(command, args, { timeout, killSignal: 'SIGKILL', maxBuffer: 2 ** 24 }, (error, stdout, stderr) => {
      resolve({ error, stdout, stderr });
    });
  });
}

export const runNode = (file, args, timeout) => run(process.execPath, [path(file), ...args], timeout);

/** Whether there is such a command. */
export async function has(command) {
  const { error } = await run(command, ['--version'], 5000);
  return error?.code !== 'ENOENT';
}
