import { createHmac } from 'node:crypto';
import type { Clock } from '#kernel/clock.ts';
import { publicText } from '#kernel/errors.ts';
import { retryAfterMs } from '#kernel/http-client.ts';
import type { Outbound } from '#kernel/outbound.ts';
import type { DeriveKey } from '#store/master-key.ts';
import type { Attempt, Sender } from '#store/outbox.ts';
import type { Store } from '#store/store.ts';

type Deps = { store: Store; outbound: Outbound; deriveKey: DeriveKey; clock: Clock };

const longestWaitMs = 3_600_000;

/**
 * Sends events to webhooks, for the outbox. Deliveries follow Standard Webhooks (standardwebhooks.com): the headers
 * webhook-id (stable across attempts, so that receivers can deduplicate), webhook-timestamp and webhook-signature. A
 * 2xx is success, 410 disables the webhook, any other answer is retried.
 */
export const webhookSender =
  (deps: Deps): Sender =>
  (message, signal) =>
    send(deps, message, signal);

/** A webhook's signing secret. It is not stored: it is derived from the store's key and the webhook's id. */
export const webhookSecret = (deriveKey: DeriveKey, id: string): string =>
  `whsec_${deriveKey(`webhook ${id}`).toString('base64')}`;

async function send(
  { store, outbound, deriveKey, clock }: Deps,
  { key, payload, recipient }: Parameters<Sender>[0],
  signal: AbortSignal,
): Promise<Attempt> {
  const db = await store.db();
  const row = await db.selectFrom('webhooks').selectAll().where('id', '=', recipient).executeTakeFirst();
  if (!row) return { ok: false, status: null, error: 'the webhook was deleted', final: true };
  if (row.state === 'gone') return { ok: false, status: 410, error: 'the receiver answered 410 (gone)', final: true };
  const timestamp = String(Math.floor(clock.now() / 1000));
  const headers = {
    'content-type': 'application/json',
    'user-agent': 'control-tower',
    'webhook-id': key,
    'webhook-timestamp': timestamp,
    'webhook-signature': sign(webhookSecret(deriveKey, row.id), key, timestamp, payload),
  };
  try {
    const { status, headers: responseHeaders } = await outbound.send(
      { method: 'POST', url: row.url, headers, body: payload, ignoreBody: true },
      signal,
    );
    if (status >= 200 && status < 300) return { ok: true, status };
    if (status === 410) {
      await db.updateTable('webhooks').set({ state: 'gone' }).where('id', '=', recipient).execute();
      return { ok: false, status, error: 'the receiver answered 410 (gone)', final: true };
    }
    const later = retryAfterMs(responseHeaders['retry-after'] ?? '', clock, longestWaitMs);
    const reason =
      status >= 300 && status < 400
        ? `the receiver redirects (${status}); redirects are not followed`
        : `the receiver answered ${status}`;
    return { ok: false, status, error: reason, ...(later === null ? {} : { retryAfterMs: later }) };
  } catch (error) {
    return { ok: false, status: null, error: publicText(error) };
  }
}

/** `v1,` and the base64 of HMAC-SHA256 over id, timestamp and body (standardwebhooks.com). */
export function sign(secret: string, id: string, timestamp: string, body: string): string {
  const key = Buffer.from(secret.slice('whsec_'.length), 'base64');
  return `v1,${createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64')}`;
}
