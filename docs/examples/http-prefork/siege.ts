/** The clients, which run in a process of their own: what `siege -b` does, a connection for each request. */
import { get } from 'node:http';

export interface Siege {
  transactions: number;
  failed: number;
  /** The first failure, if any. */
  failure: string | undefined;
  /** ms that the siege took, ms that a transaction took on average, and the longest one. */
  elapsed: number;
  mean: number;
  longest: number;
  /** How often each answer came. */
  answers: Map<string, number>;
}

/** So many clients ask, each again as soon as it has its answer, for so many ms. */
export async function siege(url: string, clients: number, ms: number): Promise<Siege> {
  const result: Siege = {
    transactions: 0,
    failed: 0,
    failure: undefined,
    elapsed: 0,
    mean: 0,
    longest: 0,
    answers: new Map(),
  };
  const start = performance.now();
  let total = 0;

  async function client(): Promise<void> {
    while (performance.now() - start < ms) {
      const asked = performance.now();
      try {
        const answer = await ask(url);
        const took = performance.now() - asked;
        result.transactions++;
        result.longest = Math.max(result.longest, took);
        result.answers.set(answer, (result.answers.get(answer) ?? 0) + 1);
        total += took;
      } catch (error) {
        result.failed++;
        result.failure ??= String(error);
      }
    }
  }

  await Promise.all(Array.from({ length: clients }, client));
  result.elapsed = performance.now() - start;
  result.mean = total / result.transactions;
  return result;
}

/** Resolves with the body of a good answer. */
function ask(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = get(url, { agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => (body += text));
      response.on('error', reject);
      response.on('end', () => {
        if (response.statusCode === 200) resolve(body);
        else reject(new Error(`${response.statusCode ?? 0} ${body}`));
      });
    });
    request.on('error', reject);
  });
}
