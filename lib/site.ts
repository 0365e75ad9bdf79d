/**
 * Frames that are captured beyond the limit: those of this package come first, and by `map` they are ten, which is all that
 * Node keeps.
 */
const OWN_DEPTH = 8;

/** Where a task was submitted. */
export interface Site {
  /** False when it is where a task like it was submitted before. */
  readonly exact: boolean;
  /** The frames of the caller, without those of this package; '' when there are none. */
  lines(): string;
}

/** A site that was noted. That takes some microseconds; the text is made only when somebody reads it. */
export class SubmitSite implements Site {
  /** A text, unless `Error.prepareStackTrace` of the user makes something else of it. */
  declare readonly stack: unknown;
  /** The same, for tasks whose sites were not noted. */
  readonly shared: Site = { exact: false, lines: () => this.lines() };

  constructor() {
    const { captureStackTrace, stackTraceLimit } = Error as StackTraces;
    // By Reflect, because Error may be frozen. Not every engine has a limit; who sets it to 0 wants no stacks.
    if (stackTraceLimit) Reflect.set(Error, 'stackTraceLimit', stackTraceLimit + OWN_DEPTH);
    if (captureStackTrace === undefined) {
      Object.defineProperty(this, 'stack', { value: new Error().stack, enumerable: false });
    } else {
      captureStackTrace(this);
    }
    if (stackTraceLimit) Reflect.set(Error, 'stackTraceLimit', stackTraceLimit);
  }

  get exact(): boolean {
    return true;
  }

  lines(): string {
    return linesOf(this)
      .filter((line) => FRAME.test(line) && !isOwn(line))
      .join('\n');
  }
}

/** The lines of a captured stack. To read it may call a function of the user's, which gives call sites, or throws. */
function linesOf(captured: { readonly stack: unknown }): string[] {
  try {
    const { stack } = captured;
    if (Array.isArray(stack)) return stack.map((site) => `    at ${String(site)}`);
    return typeof stack === 'string' ? stack.split('\n') : [];
  } catch {
    return [];
  }
}

/** What engines offer beyond the standard. */
interface StackTraces {
  captureStackTrace?: (target: object) => void;
  stackTraceLimit?: number;
}

/** A stack without the frames of this package, and without the engine's below the user's: they tell nothing about the task. */
export function withoutOwnFrames(stack: string): string {
  const lines = stack.split('\n').filter((line) => !isOwn(line));
  while (lines.length > 1 && /\(node:(?:internal\/|events:)/.test(lines.at(-1) ?? '')) lines.pop();
  return lines.join('\n');
}

/** Where this file is when it was built: among the modules, or in the bundle. */
const BUILT = /\/dist\/(?:site|bundle\/chunk-shared)\.js$/;

/** A URL of a file as frames name it that are not of ES modules. */
const toPath = (url: string) => decodeURIComponent(new URL(url).pathname).replace(/^\/(?=[A-Za-z]:)/, '');

/**
 * The folder of this package's files, as a URL. Undefined where a bundler has put them among those of the user: nothing
 * tells them apart there.
 */
export const OWN_FOLDER = BUILT.test(import.meta.url) ? import.meta.url.replace(BUILT, '/dist/') : undefined;

/** How the files of this package begin in frames; where source maps are on, frames name its sources. */
const OWN_PLACES =
  OWN_FOLDER === undefined ? [] : [OWN_FOLDER, toPath(OWN_FOLDER), toPath(new URL('../lib/', OWN_FOLDER).href)];

const FRAME = /^\s*at |@/;

/** Whether a line of a stack is a frame of this package. A line of the message may name its files, too. */
function isOwn(line: string): boolean {
  const plain = line.replaceAll('\\', '/');
  return FRAME.test(line) && OWN_PLACES.some((place) => plain.includes(place));
}

/** Continues the stack of an error from a worker with the place where its task was submitted, if the error lets itself. */
export function addSite(error: unknown, site: Site | undefined): void {
  if (typeof error !== 'object' || error === null || site === undefined) return;
  try {
    const { stack } = error as { stack?: unknown };
    const lines = site.lines();
    if (typeof stack !== 'string' || lines === '') return;
    Object.defineProperty(error, 'stack', {
      value: `${withoutOwnFrames(stack)}\n    at --- submitted to the executor${site.exact ? '' : ', last noted here'} ---\n${lines}`,
      configurable: true,
      writable: true,
    });
  } catch {
    // Frozen, or a revoked proxy: it goes as it is.
  }
}
