import { execFile } from 'node:child_process';

/** How a child process ended, and what it printed. */
export interface NodeRun {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs an ES module given as source in a Node process of its own, in this package's directory. */
export function runNode(source: string, flags: string[] = []): Promise<NodeRun> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [...flags, '--input-type=module', '--eval', source],
      { timeout: 15_000 },
      (_error, stdout, stderr) => {
        resolve({ code: child.exitCode, stdout, stderr });
      },
    );
  });
}
