import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { fileURLToPath, URL } from 'node:url';

const path = (file) => fileURLToPath(new URL(file, import.meta.url));

/** ms of CPU that a process and those it has started have used, where the system tells (Linux). */
function cpuOf(pid) {
  const [user, system] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ').slice(11, 13);
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean);
  // In ticks of 10 ms.
  return children.map(cpuOf).reduce((a, b) => a + b, (Number(user) + Number(system)) * 10);
}

/**
 * Starts a server of ./servers in a process of its own; it prints its port, and ends when its input does.
 * @returns {Promise<{ port: number, pid: number, cpu: () => number | undefined, stop: () => Promise<void> }>}
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
    cpu() {
      try {
        return cpuOf(child.pid);
      } catch {
        return undefined;
      }
    },
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
