import { z } from 'zod';
import { integerText } from '#kernel/query-schemas.ts';
import { eventTypes } from '../journal/diff.ts';

/** JSON of outgoing webhooks and their deliveries. */

export const webhookEventTypes = [...eventTypes, 'drift.detected', 'drift.cleared'] as const;
export type WebhookEventType = (typeof webhookEventTypes)[number];

const text = (max: number) => z.string('must be a string').max(max, `must have at most ${max} characters`);

export const WebhookRequest = z
  .strictObject({
    url: text(2048).describe('Receiver: https, or http for hosts in OUTBOUND_ALLOWED_HOSTS'),
    description: text(500).optional(),
    events: z
      .array(text(100))
      .max(50, 'must have at most 50 entries')
      .optional()
      .describe('Event types, or prefixes such as drift or model_version_alias; none = all'),
    name: text(512).optional().describe('Only events of this model'),
  })
  .meta({
    id: 'WebhookRequest',
    examples: [{ url: 'https://hooks.example.com/tower', description: 'deploys', events: ['model_version_alias'] }],
  });
export type WebhookRequest = z.infer<typeof WebhookRequest>;

export const WebhookInfo = z
  .object({
    id: z.string(),
    url: z.string().describe('Host only: the full URL may contain a secret'),
    description: z.string(),
    events: z.array(z.enum(webhookEventTypes)).describe('Empty = all'),
    name: z.string().nullable(),
    state: z.enum(['active', 'gone']).describe('gone: the receiver answered 410, nothing is sent any more'),
    created_by: z.string(),
    created_at: z.iso.datetime(),
  })
  .meta({ id: 'Webhook' });
export type WebhookInfo = z.infer<typeof WebhookInfo>;

const exampleWebhook = {
  id: '5c1f2f6e-6d43-4d0a-9f5c-0d2b5a3f8f11',
  url: 'https://hooks.example.com/…',
  description: 'deploys',
  events: ['model_version_alias.created', 'model_version_alias.moved', 'model_version_alias.deleted'] as const,
  name: null,
  state: 'active' as const,
  created_by: 'dana',
  created_at: '2026-11-20T10:30:00.000Z',
};

export const WebhookOne = WebhookInfo.extend({}).meta({ examples: [{ ...exampleWebhook }] });
export const WebhookList = z.array(WebhookInfo).meta({ examples: [[exampleWebhook]] });

export const WebhookCreated = WebhookInfo.extend({
  secret: z.string().describe('Key to verify webhook-signature (standardwebhooks.com); shown once'),
}).meta({
  id: 'WebhookCreated',
  examples: [{ ...exampleWebhook, secret: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw5cQnp0FZ6mE=' }],
});
export type WebhookCreated = z.infer<typeof WebhookCreated>;

export const DeliveryQuery = z.strictObject({
  limit: integerText(1, 1000).optional().describe('Maximum number of deliveries, 1 to 1000; default 100'),
});
export type DeliveryQuery = z.infer<typeof DeliveryQuery>;

export const DeliveryInfo = z
  .object({
    id: z.int(),
    webhook_message_id: z.string().describe('The header webhook-id: the same for every attempt'),
    type: z.string(),
    event_id: z.int().nullable(),
    state: z
      .enum(['due', 'sending', 'delivered', 'dead'])
      .describe('dead: no more attempts; can be retried by a request'),
    attempts: z.int(),
    uncertain_attempts: z.int().describe('Attempts with unknown outcome: the server stopped meanwhile'),
    last_status: z.int().nullable().describe('HTTP status; null without a response'),
    last_error: z.string().nullable(),
    last_attempt_at: z.iso.datetime().nullable(),
    next_attempt_at: z.iso.datetime().nullable(),
  })
  .meta({ id: 'WebhookDelivery' });
export type DeliveryInfo = z.infer<typeof DeliveryInfo>;

export const DeliveryList = z.array(DeliveryInfo).meta({
  examples: [
    [
      {
        id: 90,
        webhook_message_id: 'event-412',
        type: 'model_version_alias.moved',
        event_id: 412,
        state: 'delivered',
        attempts: 2,
        uncertain_attempts: 0,
        last_status: 200,
        last_error: null,
        last_attempt_at: '2026-11-20T10:30:06.000Z',
        next_attempt_at: null,
      },
    ],
  ],
});

export const Done = z
  .object({ message: z.string() })
  .meta({ id: 'WebhookMessage', examples: [{ message: 'The webhook was deleted' }] });
