// serveHttp with so many processes.
import process from 'node:process';
import { URL } from 'node:url';
import { serveHttp } from 'concurrent-futures/server';

const server = await serveHttp(new URL('http-handler.js', import.meta.url), {
  host: '127.0.0.1',
  port: 0,
  processes: Number(process.argv[2]),
  backlog: 512,
});
process.stdout.write(`${server.address().port}\n`);
process.stdin.resume().on('end', () => server.close({ grace: 1000 }).then(() => process.exit()));
