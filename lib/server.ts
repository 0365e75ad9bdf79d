export {
  type DatagramHandler,
  type DatagramOptions,
  serveDatagrams,
  type PooledDatagramServer,
} from './node/datagram-server.js';
export { type HttpServerOptions, serveHttp } from './node/http-server.js';
export type { PreforkedServer, PreforkOptions } from './node/preforked-server.js';
export { type PreforkedSocketOptions, serveSocketsPreforked } from './node/preforked-sockets.js';
export { type PooledServer, serveSockets, type SocketHandler, type SocketServerOptions } from './node/socket-server.js';
export type { ServerStats } from './node/slots.js';
