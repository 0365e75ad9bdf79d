import { fileURLToPath } from 'node:url';
import vm from 'node:vm';
import { type MessagePort as NodePort, parentPort } from 'node:worker_threads';
import type { Endpoint } from '../comlink.js';
import type { GuestPort } from '../guest/port.js';
import { wrapSource } from '../guest/source.js';
import { PORTS } from '../wire/protocol.js';
import { PortMux, withEvents } from './port-mux.js';
import type { ParentChannel } from './process-guest.js';
import { farewells } from './served-socket.js';
import { useGuestPorts } from './stream-bridge.js';

export { now } from './clock.js';

/** The channel of a process that was forked for a pool: threads start faster without what only processes need. */
let Channel: (new () => ParentChannel) | undefined;
/** There once it serves. */
let parentChannel: ParentChannel | undefined;

/** Before anything serves, in a process that was forked for a pool. */
export function useParentChannel(channel: new () => ParentChannel): void {
  Channel = channel;
}

/** The channel that Comlink calls of the host arrive on. */
export function endpoint(): Endpoint {
  if (parentPort !== null) return parentPort as unknown as Endpoint;
  if (Channel === undefined) throw new Error('expose() is for workers: this is the main thread');
  parentChannel ??= new Channel();
  return parentChannel.endpoint;
}

/** Listens on the port that the tasks come by. */
export function connectPort(port: unknown, receive: (message: unknown) => void, unreadable: () => void): GuestPort {
  if (parentChannel !== undefined) return parentChannel.connect(receive, unreadable);
  const nodePort = withEvents(port as NodePort);
  const ports = new PortMux(
    true,
    (message, transfer) => {
      nodePort.postMessage(message, transfer);
    },
    receive,
  );
  useGuestPorts(ports);
  nodePort.on('message', (message: unknown[]) => {
    if (message[0] === PORTS) ports.receive(message);
    else receive(message);
  });
  nodePort.on('messageerror', unreadable);
  return nodePort;
}

/**
 * Ends this thread, or process, in order: what it has printed goes first, which `terminate` would cut off, and so do the last
 * words of its connections.
 *
 * @param tellLingers - called when that takes longer than a moment
 */
export function endGuest(tellLingers: () => void): void {
  const closing = farewells();
  if (closing === undefined) exit();
  else {
    tellLingers();
    void closing.then(exit);
  }
}

function exit(): void {
  process.stdout.write('', () => {
    process.stderr.write('', () => {
      process.exit();
    });
  });
}

/** Imports a module by its absolute URL. */
export async function importModule(url: string): Promise<object> {
  return (await import(url)) as object;
}

/** Makes a function of its source; `import()` in it resolves as in the file `base`. */
export function compile(source: string, base: string | undefined): unknown {
  return wrapSource(source, (text) => runScript(text, base));
}

function runScript(text: string, base: string | undefined): unknown {
  // Not the name of the file itself: a line of this text is not that line of the file, nor has it a place in its source map.
  let filename = base === undefined ? SOURCE : `${base}#${SOURCE}`;
  // Bun takes the name for a path, from which it resolves.
  if ('bun' in process.versions && base !== undefined) filename = fileURLToPath(base);
  const { constants } = vm as unknown as { constants?: { USE_MAIN_CONTEXT_DEFAULT_LOADER?: symbol } };
  const loader = constants?.USE_MAIN_CONTEXT_DEFAULT_LOADER;
  if (loader === undefined || base === undefined) return new vm.Script(text, { filename }).runInThisContext();
  const options = { filename, importModuleDynamically: loader } as unknown as vm.ScriptOptions;
  if (!warned) {
    warned = true;
    warnInSilence(options);
  }
  return new vm.Script(text, options).runInThisContext();
}

/** What stacks call a function that came as its source. */
const SOURCE = 'concurrent-futures:source';

let warned = false;

/**
 * Node warns once, when a script first imports by this loader, that it is experimental. Users did not ask for it and can do
 * nothing about it, so the first import is one of ours, in silence.
 */
function warnInSilence(options: vm.ScriptOptions): void {
  // eslint-disable-next-line @typescript-eslint/unbound-method -- only put back
  const { emitWarning } = process;
  process.emitWarning = () => undefined;
  try {
    void new vm.Script("import('node:vm')", options).runInThisContext();
  } finally {
    process.emitWarning = emitWarning;
  }
}
