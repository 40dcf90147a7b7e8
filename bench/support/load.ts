import { connect, type Socket } from 'node:net';

export type Load = { perSecond: number; p99Ms: number };

/**
 * Closed-loop load on one URL over keep-alive connections, with latencies in microseconds: each connection sends a
 * request, waits for the last byte of the response, and sends the next. Limited in time.
 * @throws Error if a response is not 200 or has no content-length
 */
export async function load(
  url: string,
  headers: Record<string, string>,
  connections: number,
  seconds: number,
): Promise<Load> {
  const { hostname, port, pathname } = new URL(url);
  const lines = Object.entries({ host: `${hostname}:${port}`, ...headers }).map(
    ([name, value]) => `${name}: ${value}\r\n`,
  );
  const request = Buffer.from(`GET ${pathname} HTTP/1.1\r\n${lines.join('')}\r\n`);
  const latencies: number[] = [];
  const startedAt = performance.now();
  const until = startedAt + seconds * 1000;
  await Promise.all(
    Array.from({ length: connections }, () => keepAsking(connect(Number(port), hostname), request, until, latencies)),
  );
  const elapsed = (performance.now() - startedAt) / 1000;
  latencies.sort((a, b) => a - b);
  return { perSecond: latencies.length / elapsed, p99Ms: latencies[Math.floor(latencies.length * 0.99)] ?? Number.NaN };
}

function keepAsking(socket: Socket, request: Buffer, until: number, latencies: number[]): Promise<void> {
  return new Promise((resolve, reject) => {
    let sentAt = 0;
    let left = -1;
    let head = Buffer.alloc(0);
    const ask = () => {
      left = -1;
      head = Buffer.alloc(0);
      sentAt = performance.now();
      socket.write(request);
    };
    socket.setNoDelay(true).once('connect', ask).once('error', reject);
    socket.on('data', (chunk) => {
      if (left < 0) {
        head = head.length === 0 ? chunk : Buffer.concat([head, chunk]);
        const end = head.indexOf('\r\n\r\n');
        if (end < 0) return;
        const text = head.subarray(0, end).toString('latin1');
        const length = /\r\ncontent-length: (\d+)/i.exec(text)?.[1];
        if (!text.startsWith('HTTP/1.1 200') || length === undefined) {
          socket.destroy();
          reject(new Error(`unexpected answer: ${text.slice(0, 200)}`));
          return;
        }
        left = Number(length) - (head.length - end - 4);
      } else {
        left -= chunk.length;
      }
      if (left > 0) return;
      const now = performance.now();
      latencies.push(now - sentAt);
      if (now < until) ask();
      else {
        socket.end();
        resolve();
      }
    });
  });
}
