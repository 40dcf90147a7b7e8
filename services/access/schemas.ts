import { z } from 'zod';
import { integerText } from '#kernel/query-schemas.ts';
import { scopes } from './scopes.ts';

/** JSON of keys, the authenticated client, and the audit log. */
const ScopeName = z.enum(scopes, `must be one of ${scopes.join(', ')}`);

export const KeyRequest = z
  .strictObject({
    name: z
      .string('must be a string: the purpose of the key')
      .trim()
      .min(1, 'must not be empty')
      .max(100, 'must have at most 100 characters')
      .refine((text) => !/\p{Cc}/u.test(text), 'must not contain control characters'),
    scopes: z.array(ScopeName).min(1, 'must have at least one scope').max(4, 'must have at most four scopes'),
    expires_in_days: z
      .int('must be an integer')
      .min(1, 'must be at least 1')
      .max(3650, 'must be at most 3650')
      .default(90),
  })
  .meta({ id: 'KeyRequest', examples: [{ name: 'ci', scopes: ['read'], expires_in_days: 90 }] });
export type KeyRequest = z.infer<typeof KeyRequest>;

export const KeyInfo = z
  .object({
    id: z.string(),
    name: z.string(),
    scopes: z.array(ScopeName),
    state: z.enum(['active', 'expired', 'revoked']),
    created_by: z.string(),
    created_at: z.iso.datetime(),
    expires_at: z.iso.datetime(),
    last_used_at: z.iso.datetime().nullable().describe('Precise to the minute'),
    revoked_at: z.iso.datetime().nullable(),
  })
  .meta({ id: 'ApiKey' });
export type KeyInfo = z.infer<typeof KeyInfo>;

const exampleKey = {
  id: '3f9a1c77d2e4',
  name: 'ci',
  scopes: ['read' as const],
  state: 'active' as const,
  created_by: 'dana',
  created_at: '2026-11-20T10:30:00.000Z',
  expires_at: '2027-02-18T10:30:00.000Z',
  last_used_at: null,
  revoked_at: null,
};

export const KeyList = z.array(KeyInfo).meta({ examples: [[exampleKey]] });
export const KeyCreated = KeyInfo.extend({
  key: z.string().describe('Send it as Authorization: Bearer … or X-API-Key; shown once'),
}).meta({ id: 'KeyCreated', examples: [{ ...exampleKey, key: 'tower_3f9a1c77d2e4_…' }] });
export type KeyCreated = z.infer<typeof KeyCreated>;

export const KeyRevoked = z
  .object({ message: z.string() })
  .meta({ id: 'KeyRevoked', examples: [{ message: 'The key is revoked' }] });

export const WhoAmI = z
  .object({
    name: z.string(),
    via: z.enum(['none', 'api_key', 'jwt', 'signature', 'local']).describe('none: authentication is off'),
    scopes: z.array(ScopeName),
  })
  .meta({ id: 'WhoAmI', examples: [{ name: 'key ci (3f9a1c77d2e4)', via: 'api_key', scopes: ['read'] }] });

export const AuditQuery = z.strictObject({
  limit: integerText(1, 1000).optional().describe('Maximum number of entries, 1 to 1000; default 100'),
  page_token: z
    .string()
    .max(50, 'must have at most 50 characters')
    .optional()
    .describe('The value from x-next-page-token'),
});
export type AuditQuery = z.infer<typeof AuditQuery>;

const AuditRecord = z
  .object({
    seq: z.int(),
    at: z.iso.datetime(),
    phase: z.enum(['requested', 'done']).describe('requested: before the change; done: after it, with the status'),
    actor: z.string(),
    via: z.string(),
    address: z.string(),
    action: z.string(),
    target: z.record(z.string(), z.unknown()),
    details: z.record(z.string(), z.unknown()).describe('The request body; possible secrets are replaced by an HMAC'),
    status: z.int().nullable(),
    request_id: z.string(),
    hash: z.string(),
  })
  .meta({ id: 'AuditRecord' });
export type AuditRecord = z.infer<typeof AuditRecord>;

export const AuditList = z.array(AuditRecord).meta({
  examples: [
    [
      {
        seq: 7,
        at: '2026-11-20T10:30:00.000Z',
        phase: 'done',
        actor: 'key ci (3f9a1c77d2e4)',
        via: 'api_key',
        address: '10.0.0.7',
        action: 'POST /models/:model_name/:model_version/monitor',
        target: { model_name: 'churn-predictor', model_version: '4' },
        details: { model_type: 'classifier', registered_by: 'dana' },
        status: 201,
        request_id: '5c1f2f6e-6d43-4d0a-9f5c-0d2b5a3f8f11',
        hash: '9b3f…',
      },
    ],
  ],
});
