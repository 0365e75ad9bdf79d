/** HTTP clients of the servers under test. */
import { type Agent, type IncomingHttpHeaders, request } from 'node:http';
import { settled } from './watchdog.js';

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
  text: string;
}

export interface Question {
  method?: string;
  body?: Uint8Array | string;
  agent?: Agent;
  signal?: AbortSignal;
}

/** One request, by a connection of its own unless an agent is given. */
export function fetchFrom(port: number, path: string, { body, agent, ...rest }: Question = {}): Promise<Answer> {
  const answer = new Promise<Answer>((resolve, reject) => {
    const headers = body === undefined ? {} : { 'content-type': 'application/octet-stream' };
    const asked = request({ headers, port, host: '127.0.0.1', path, agent: agent ?? false, ...rest }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const all = Buffer.concat(chunks);
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: all, text: all.toString() });
      });
    });
    asked.on('error', reject);
    asked.end(body);
  });
  return settled(answer, `the answer to ${path}`);
}
