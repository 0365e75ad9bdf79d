/** Where a task was submitted. Capturing takes about a microsecond; the text is made only when somebody reads it. */
export class SubmitSite {
  declare readonly stack: string | undefined;

  constructor() {
    const { captureStackTrace } = Error as { captureStackTrace?: (target: object) => void };
    if (captureStackTrace === undefined) {
      Object.defineProperty(this, 'stack', { value: new Error().stack, enumerable: false });
    } else {
      captureStackTrace(this);
    }
  }

  /** The frames of the caller, without those of this package; '' when there are none. */
  lines(): string {
    return (this.stack ?? '')
      .split('\n')
      .filter((line) => /^\s*at |@/.test(line) && !line.includes(OWN_FRAMES))
      .join('\n');
  }
}

/** A stack without the frames of this package, and without the engine's below the user's: they tell nothing about the task. */
export function withoutOwnFrames(stack: string): string {
  const lines = stack.split('\n').filter((line) => !line.includes(OWN_FRAMES));
  while (lines.length > 1 && lines.at(-1)?.includes('(node:internal/') === true) lines.pop();
  return lines.join('\n');
}

const OWN_FRAMES = new URL('.', import.meta.url).href;

/** Continues the stack of an error from a worker with the place where its task was submitted. */
export function addSite(error: unknown, site: SubmitSite | undefined): void {
  if (typeof error !== 'object' || error === null || site === undefined) return;
  const { stack } = error as { stack?: unknown };
  const lines = site.lines();
  if (typeof stack !== 'string' || lines === '') return;
  Object.defineProperty(error, 'stack', {
    value: `${withoutOwnFrames(stack)}\n    at --- submitted to the executor ---\n${lines}`,
    configurable: true,
    writable: true,
  });
}
