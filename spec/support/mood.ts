import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { appUrl } from './http-servers.js';
import { eventually } from './watchdog.js';

/** How an application takes it to be loaded. */
export type HowLoaded = 'loads' | 'fails' | 'hangs';

/** The application `moody` of spec/fixtures/apps, whose next load goes as the test wants. */
export class Mood implements Disposable {
  readonly #directory = mkdtempSync(join(tmpdir(), 'mood-'));

  constructor(how: HowLoaded = 'loads') {
    this.is(how);
    appendFileSync(join(this.#directory, 'loads'), '');
  }

  get app(): URL {
    const url = appUrl('moody');
    url.searchParams.set('mood', this.#directory);
    return url;
  }

  is(how: HowLoaded): void {
    writeFileSync(join(this.#directory, 'how'), how);
  }

  /** Resolves when the application has begun to be loaded so many times. */
  taken(times: number): Promise<void> {
    return eventually(() => this.times >= times, `load ${String(times)} of the application`);
  }

  /** How often it has begun to be loaded: once in each process. */
  get times(): number {
    return readFileSync(join(this.#directory, 'loads')).length;
  }

  [Symbol.dispose](): void {
    rmSync(this.#directory, { recursive: true });
  }
}
