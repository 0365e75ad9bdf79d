import { lookup } from 'node:dns/promises';
import net, { type AddressInfo } from 'node:net';
import { constants as osConstants } from 'node:os';
import { getSystemErrorName } from 'node:util';

/** An address that is bound and that nobody listens on here: processes do, each with a duplicate of the handle. */
export interface BoundAddress {
  readonly handle: { close(): void };
  readonly address: AddressInfo;
}

/** As cluster does it; there is no public way to bind without accepting. */
type CreateHandle = (
  address: string | null,
  port: number,
  family: 4 | 6,
  fd: number,
) => number | { close(): void; getsockname(into: object): void };

/**
 * Binds an address.
 *
 * @param host - an address or a name; all addresses when undefined
 * @throws an error with the system's code when it cannot be bound (rejects)
 * @throws what the look-up of the name throws (rejects)
 */
export async function bindAddress(port: number, host: string | undefined): Promise<BoundAddress> {
  const create = (net as unknown as { _createServerHandle: CreateHandle })._createServerHandle;
  const candidates: [address: string | null, family: 4 | 6][] =
    host === undefined
      ? [
          ['::', 6],
          ['0.0.0.0', 4],
        ]
      : [await addressOf(host)];
  let failure = 0;
  for (const [candidate, family] of candidates) {
    const handle = create(candidate, port, family, -1);
    if (typeof handle === 'number') {
      failure = handle;
      continue;
    }
    const address = {} as AddressInfo;
    handle.getsockname(address);
    // An address in use is told only to who listens; a process would listen on any other port.
    if (port !== 0 && address.port !== port) {
      handle.close();
      failure = -osConstants.errno.EADDRINUSE;
      continue;
    }
    return { handle, address };
  }
  const where = `${host ?? '*'}:${String(port)}`;
  const code = getSystemErrorName(failure);
  throw Object.assign(new Error(`Cannot listen on ${where}: ${code}`), { code, port, address: host });
}

/** The address that a host name stands for. @throws what the look-up throws (rejects) */
async function addressOf(host: string): Promise<[address: string, family: 4 | 6]> {
  // As most clients take it, wherever the system's own table puts it.
  if (host === 'localhost') return ['127.0.0.1', 4];
  const { address, family } = await lookup(host);
  return [address, family === 6 ? 6 : 4];
}
