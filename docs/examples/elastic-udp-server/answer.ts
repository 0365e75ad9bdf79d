/** What the pool does with a datagram. Each worker imports this module once. */
import { setTimeout as sleep } from 'node:timers/promises';
import { task } from 'concurrent-futures';

/** Answers a question, after having looked it up somewhere for 25 ms. What is returned is sent back. */
export const answer = task(import.meta.url, async function answer(message: Uint8Array): Promise<string> {
  await sleep(25);
  return new TextDecoder().decode(message).replace('question', 'answer');
});
