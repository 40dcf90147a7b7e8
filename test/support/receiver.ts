import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { whenTestIsOver } from './cleanup.ts';

export type Received = { headers: IncomingHttpHeaders; body: string };

/** A webhook receiver; the test decides its answers. */
export async function receiver() {
  const receiver = {
    url: '',
    got: [] as Received[],
    body: '',
    answer: (): { status: number; headers?: Record<string, string> } => ({ status: 204 }),
  };
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => {
      body += chunk.toString();
    });
    request.on('end', () => {
      receiver.got.push({ headers: request.headers, body });
      const { status, headers } = receiver.answer();
      if (status === 0) request.socket.destroy();
      else response.writeHead(status, headers).end(receiver.body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  whenTestIsOver(() => {
    server.closeAllConnections();
    server.close();
  });
  receiver.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`;
  return receiver;
}
