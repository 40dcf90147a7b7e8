import { randomUUID } from 'node:crypto';
import type { ClientConfig, Pool } from 'pg';
import { systemClock } from '#kernel/clock.ts';
import { createNotifier, type Notifier, type Topic } from './notifier.ts';

type Pg = typeof import('pg');

const channel = 'control_tower';
const reconnectMs = 2_000;
const answerMs = 5_000;
/** Interval between checks of the listening connection. */
const listenerMs = 30_000;

/** Notifier of all instances over one database: LISTEN and NOTIFY on a dedicated connection. */
export function listen(pg: Pg, config: ClientConfig, pool: Pool): { notifier: Notifier; stop(): Promise<void> } {
  const here = createNotifier();
  const me = randomUUID();
  const stopping = new AbortController();
  const loop = follow(pg, config, here, me, stopping.signal);
  return {
    notifier: {
      on: here.on,
      notify: (topic, about = '') => {
        here.notify(topic, about);
        pool.query('select pg_notify($1, $2)', [channel, JSON.stringify({ me, topic, about })]).catch(() => undefined);
      },
    },
    stop: async () => {
      stopping.abort();
      await loop;
    },
  };
}

/** Any database client may write into the channel: foreign payloads are ignored. */
function announcementOf(payload: string | undefined): { me: unknown; topic: Topic; about: string } | null {
  try {
    const { me, topic, about } = JSON.parse(payload ?? '') as Record<string, unknown>;
    return typeof topic === 'string' && typeof about === 'string' ? { me, topic: topic as Topic, about } : null;
  } catch {
    return null;
  }
}

async function follow(pg: Pg, config: ClientConfig, here: Notifier, me: string, stopping: AbortSignal): Promise<void> {
  while (!stopping.aborted) {
    const over = Promise.withResolvers<void>();
    let isOver = false;
    const end = () => {
      isOver = true;
      over.resolve();
    };
    // The pool's query timeout does not apply: this connection waits for notifications.
    const client = new pg.Client({ ...config, query_timeout: undefined });
    client.on('error', end).on('end', end);
    client.on('notification', ({ payload }) => {
      const announcement = announcementOf(payload);
      if (announcement && announcement.me !== me) here.notify(announcement.topic, announcement.about);
    });
    stopping.addEventListener('abort', end, { once: true });
    try {
      await client.connect();
      await client.query(`listen ${channel}`);
      // Detects a connection that broke silently.
      while (!stopping.aborted && !isOver) {
        await Promise.race([over.promise, systemClock.sleep(listenerMs, stopping).catch(() => undefined)]);
        if (!isOver) await withTimeout(answerMs, client.query('select 1'));
      }
    } catch {
      // Listeners poll meanwhile.
    }
    stopping.removeEventListener('abort', end);
    await withTimeout(1_000, client.end()).catch(() => undefined);
    if (!stopping.aborted) await systemClock.sleep(reconnectMs, stopping).catch(() => undefined);
  }
}

/** @throws Error after the timeout; the work itself may go on */
export async function withTimeout<T>(ms: number, work: Promise<T>): Promise<T> {
  const enough = new AbortController();
  const tooLong = systemClock.sleep(ms, enough.signal).then(() => {
    throw new Error(`no answer within ${ms / 1000} s`);
  });
  try {
    return await Promise.race([work, tooLong]);
  } finally {
    enough.abort();
    tooLong.catch(() => undefined);
    work.catch(() => undefined);
  }
}
