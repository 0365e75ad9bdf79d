/**
 * The web site of the example, a process of its own: sixty pages of mixed size, each with its own latency. Which page is
 * how long and how slow is arithmetic, so every run meets the same site.
 *
 * Started by `fork`: it tells its parent the addresses of its pages, and ends with the parent, however that ends.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const PAGES = 60;
/** Answers with 500. */
const BROKEN_PAGE = 23;
/** Takes the request and never answers. Early in the list, so that waiting for it overlaps with the other pages. */
const SILENT_PAGE = 7;

/** 20 to 200 ms. 181 is prime and greater than 60: no two pages share a latency, and neighbours differ. */
const latency = (page: number): number => 20 + ((page * 37) % 181);
/** 2 to 128 KiB. */
const size = (page: number): number => 2048 * (1 + ((page * 29) % 64));

const server = createServer((request, response) => {
  void answer(Number(request.url?.match(/^\/pages\/(\d+)$/)?.[1]));

  async function answer(page: number): Promise<void> {
    if (page === SILENT_PAGE) return;
    await sleep(page >= 1 && page <= PAGES ? latency(page) : 0);
    if (page === BROKEN_PAGE) response.writeHead(500).end('This page is broken.\n');
    else if (page >= 1 && page <= PAGES) response.end(Buffer.alloc(size(page), `Page ${page}. `));
    else response.writeHead(404).end('There is no such page.\n');
  }
});

server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo;
  const urls = Array.from(
    { length: PAGES },
    (_, index) => `http://127.0.0.1:${port}/pages/${String(index + 1).padStart(2, '0')}`,
  );
  process.send?.(urls);
});

process.on('disconnect', () => process.exit());
