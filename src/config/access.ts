import { z } from 'zod';
import { flag, number, text } from './kinds.ts';

/** Settings of authentication. */
export const accessSettings = z.object({
  AUTH_ENABLED: flag(false).describe(
    'true: every request needs an API key or a token; `tower token create` creates the first key',
  ),
  ALLOW_UNAUTHENTICATED: flag(false).describe(
    'true: allow listening on other addresses than loopback (API_HOST) without authentication',
  ),
  JWT_ISSUER: text().describe('Issuer (iss) of accepted tokens; required for tokens'),
  JWT_AUDIENCE: z.string().default('control-tower').describe('Audience (aud) of accepted tokens'),
  JWT_JWKS_URL: text()
    .refine(
      (url) => url === undefined || (URL.canParse(url) && new URL(url).username === ''),
      'must be a URL without user name and password',
    )
    .describe('URL of the public keys (JWKS) for RS256, ES256 and EdDSA tokens'),
  JWT_HS256_SECRET: z
    .string()
    .min(32, 'must have at least 32 characters')
    .optional()
    .describe('Shared secret for HS256 tokens (secret)'),
  JWT_CLOCK_SKEW_SECONDS: number(30, 0, 60).describe('Tolerated clock difference to the issuer'),
});
