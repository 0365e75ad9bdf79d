// Both handlers of every HTTP contender: the trivial one, and one that keeps a core busy for 5 ms.
import process from 'node:process';

const TEXT = 'hello\n';

export default function handle(request, response) {
  if (request.url === '/work') work();
  response.writeHead(200, { 'Content-Type': 'text/plain', 'Content-Length': TEXT.length });
  response.end(TEXT);
}

function work() {
  const start = process.cpuUsage();
  for (let used = 0; used < 5000;) {
    const { user, system } = process.cpuUsage(start);
    used = user + system;
  }
}
