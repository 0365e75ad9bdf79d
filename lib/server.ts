export {
  type DatagramHandler,
  type DatagramOptions,
  serveDatagrams,
  type PooledDatagramServer,
} from './node/datagram-server.js';
export { type HttpServerOptions, type PooledHttpServer, serveHttp } from './node/http-server.js';
export { type PooledServer, serveSockets, type SocketHandler, type SocketServerOptions } from './node/socket-server.js';
export type { ServerStats } from './node/slots.js';
