import { z } from 'zod';
import { flag, number, text } from './kinds.ts';

/** Settings of authentication. */
export const accessSettings = z.object({
  AUTH_ENABLED: flag(false).describe(
    'true: every call needs an API key or a token; `tower token create` makes the first key',
  ),
  ALLOW_UNAUTHENTICATED: flag(false).describe(
    'true: listen beyond this machine (API_HOST) although authentication is off',
  ),
  JWT_ISSUER: text().describe('Issuer (iss) of the tokens that are taken; needed for any'),
  JWT_AUDIENCE: z.string().default('control-tower').describe('Audience (aud) a token must be for'),
  JWT_JWKS_URL: text()
    .refine(
      (url) => url === undefined || (URL.canParse(url) && new URL(url).username === ''),
      'must be a URL without user name and password',
    )
    .describe('Where the public keys for RS256, ES256 and EdDSA tokens are'),
  JWT_HS256_SECRET: z
    .string()
    .min(32, 'must have 32 characters at least')
    .optional()
    .describe('Shared secret for HS256 tokens (secret)'),
  JWT_CLOCK_SKEW_SECONDS: number(30, 0, 60).describe('How far the clock of the issuer may be off'),
});
