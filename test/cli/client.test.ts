import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createTowerClient } from '#cli/client.ts';
import { whenTestIsOver } from '../support/cleanup.ts';

/** A server that sends these chunks of an event stream. */
async function streamOf(pieces: string[]) {
  const server = createServer(async (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    for (const piece of pieces) await new Promise((sent) => response.write(piece, sent));
    response.end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  whenTestIsOver(() => void server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const client = createTowerClient(url, { token: undefined, registry: undefined });
  const frames = [];
  for await (const frame of await client.follow('/events', null)) frames.push(frame);
  return frames;
}

describe('createTowerClient', () => {
  it('parses events with several data lines, all line ends, and comments', async () => {
    const expected = [
      { id: '1', event: 'created', data: 'first\nsecond' },
      { id: '2', event: 'message', data: '{"a": 1}' },
    ];
    for (const end of ['\n', '\r\n', '\r']) {
      const text = [
        ': hello',
        'id: 1',
        'event: created',
        'data: first',
        'data: second',
        '',
        ': still here',
        'id:2',
        'data:{"a": 1}',
        '',
        '',
      ].join(end);
      expect(await streamOf([text])).toEqual(expected);
    }
  });

  it('parses events split at any byte', async () => {
    const text = 'id: 1\r\ndata: grün\r\ndata: b\r\n\r\nid: 2\r\ndata: c\r\n\r\n';
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: text.length - 1 }), async (at) => {
        const frames = await streamOf([text.slice(0, at), text.slice(at)]);
        expect(frames.map(({ id, data }) => [id, data])).toEqual([
          ['1', 'grün\nb'],
          ['2', 'c'],
        ]);
      }),
      { numRuns: 20 },
    );
  });
});
