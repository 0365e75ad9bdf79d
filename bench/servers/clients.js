import { fileURLToPath, URL } from 'node:url';
import { run, runNode } from './launch.js';

const SIEGERC = fileURLToPath(new URL('siegerc', import.meta.url));

/**
 * What a client found: transactions a second, the longest one in ms, and how many failed.
 * @typedef {{ rate: number, longest: number, failed: number }} Figures
 */

/** How often siege is started anew that does not end: one run in twenty or so never does, with Node's own servers too. */
const SIEGE_TRIES = 3;

/** `siege -b -c 100`: 100 clients, a connection for each request. */
export async function siege(url, ms, tries = SIEGE_TRIES) {
  const args = ['-R', SIEGERC, '-b', '-c', '100', '-t', `${Math.ceil(ms / 1000)}s`, '--json-output', url];
  const { stdout, stderr, error } = await run('siege', args, ms + 20_000);
  const json = /\{[^{}]*\}/.exec(stdout);
  if (json === null && tries > 1) return await siege(url, ms, tries - 1);
  if (json === null) throw new Error(`siege printed no result: ${error?.message ?? ''} ${stderr.slice(0, 500)}`);
  const found = JSON.parse(json[0]);
  return {
    rate: found.transaction_rate,
    longest: found.longest_transaction * 1000,
    failed: found.failed_transactions,
  };
}

/** `wrk -c 100`: 100 clients, each with one connection for all of its requests. */
export async function wrk(url, ms) {
  const args = ['-t', '1', '-c', '100', '-d', `${Math.ceil(ms / 1000)}s`, '--latency', url];
  const { stdout, stderr, error } = await run('wrk', args, ms + 40_000);
  const rate = /Requests\/sec:\s+([\d.]+)/.exec(stdout);
  const latency = /Latency\s+\S+\s+\S+\s+([\d.]+)(us|ms|s)\b/.exec(stdout);
  if (!rate || !latency) throw new Error(`wrk printed no result: ${error?.message ?? ''} ${stderr.slice(0, 500)}`);
  const errors = [...(/Socket errors: (.*)/.exec(stdout)?.[1].matchAll(/\d+/g) ?? [])].map(Number);
  const refused = Number(/Non-2xx or 3xx responses: (\d+)/.exec(stdout)?.[1] ?? 0);
  return {
    rate: Number(rate[1]),
    longest: Number(latency[1]) * { us: 0.001, ms: 1, s: 1000 }[latency[2]],
    failed: errors.reduce((a, b) => a + b, refused),
  };
}

/** 100 clients of an echo server, messages of 64 bytes. */
export async function echoClients(port, kind, ms) {
  const { stdout, stderr, error } = await runNode('echo-client.js', [String(port), kind, String(ms)], ms + 20_000);
  if (error) throw new Error(`the echo clients failed: ${stderr || error.message}`);
  const { transactions, failed, longest, elapsed } = JSON.parse(stdout);
  return { rate: (transactions / elapsed) * 1000, longest, failed };
}
