import type { FastifyRequest } from 'fastify';
import { describe, expect, it, vi } from 'vitest';
import { liveStream } from '#http/live-stream.ts';
import type { Access } from '#services/access/access.ts';
import { lockedTower } from '../support/locked-tower.ts';
import { handClock, settle } from '../support/sources.ts';

/** A source that yields when the test says so. */
function source() {
  const waiting: ((frame: string) => void)[] = [];
  async function* frames(): AsyncGenerator<string> {
    for (;;) yield await new Promise<string>((resolve) => waiting.push(resolve));
  }
  return { frames: frames(), send: (frame: string) => waiting.shift()!(frame) };
}

const open = { anonymousCaller: { name: 'anonymous' } } as unknown as Access;
const request = { headers: {} } as FastifyRequest;

/** Reads frames in the background. */
function reading(stream: AsyncGenerator<string>) {
  const got: string[] = [];
  const done = (async () => {
    for await (const frame of stream) got.push(frame);
  })();
  return { got, done };
}

describe('a live stream', () => {
  it('sends a heartbeat after each 15 s without a frame, whatever its source does', async () => {
    const clock = handClock();
    const { frames, send } = source();
    const { got } = reading(liveStream({ access: open, clock }, request, frames));
    for (let second = 0; second < 32; second += 1) {
      await settle();
      await clock.advance(1_000);
    }
    await settle();
    expect(got).toEqual([': keep-alive\n\n', ': keep-alive\n\n']);
    send('data: 1\n\n');
    await settle();
    await clock.advance(14_000);
    await settle();
    // Fourteen seconds after a frame there is no heartbeat.
    expect(got).toEqual([': keep-alive\n\n', ': keep-alive\n\n', 'data: 1\n\n']);
  });

  it('ends with its source', async () => {
    async function* two() {
      yield 'a';
      yield 'b';
    }
    const { got, done } = reading(liveStream({ access: open, clock: handClock() }, request, two()));
    await done;
    expect(got).toEqual(['a', 'b']);
  });

  it('ends within 15 s after its key is revoked, also between frequent frames', async () => {
    const { app, keyWith, clock, services, metrics } = await lockedTower();
    const key = await keyWith('read');
    const headers = { authorization: `Bearer ${key}` };
    let isOver = false;
    const streaming = app.inject({ url: '/models/stream', headers }).then((response) => {
      isOver = true;
      return response;
    });
    await vi.waitFor(async () => expect((await metrics.render('')).body).toContain('tower_stream_clients 1'));
    await clock.advance(9_000);
    await settle();
    await services.access.keys.revoke(key.split('_')[1]!);
    for (let second = 0; second < 15; second += 1) {
      await clock.advance(1_000);
      await settle();
    }
    await vi.waitFor(() => expect(isOver).toBe(true));
    expect((await streaming).statusCode).toBe(200);
  });
});
