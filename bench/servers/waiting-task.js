import { once } from 'node:events';
import { connect } from 'node:net';

export async function listenTo(port) {
  const socket = connect(port, '127.0.0.1').setEncoding('utf8');
  const [word] = await once(socket, 'data');
  socket.destroy();
  return word;
}
