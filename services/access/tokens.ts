import type { JWTPayload, JWTVerifyGetKey, JWTVerifyOptions } from 'jose';
import { type Clock, steadyMs } from '#kernel/clock.ts';
import { TowerError, unauthenticated } from '#kernel/errors.ts';
import type { Outbound } from '#kernel/outbound.ts';
import { type Caller, isScope } from './scopes.ts';

/** JSON Web Token verification; null = tokens are not accepted. */
export type TokenOptions = {
  /** Secret for HS256, at least 32 characters; never used with another algorithm. */
  secret: string | undefined;
  /** URL of the public keys (JWKS) for RS256, ES256 and EdDSA. */
  jwksUrl: string | undefined;
  issuer: string;
  audience: string;
  skewSeconds: number;
};

export type Tokens = {
  /** @throws `unauthenticated` with the token's fault, `unavailable` if the keys cannot be fetched */
  identify(token: string): Promise<Caller>;
};

/** Allowed algorithms per kind of key. A public key never serves as HMAC secret, and `none` is refused. */
const asymmetric = ['RS256', 'ES256', 'EdDSA', 'Ed25519'];

export function createTokens(options: TokenOptions, { outbound, clock }: { outbound: Outbound; clock: Clock }): Tokens {
  if (options.jwksUrl !== undefined) outbound.check(options.jwksUrl, 'JWT_JWKS_URL');
  let keySet: Promise<JWTVerifyGetKey> | null = null;
  return {
    identify: async (token) => {
      const { decodeProtectedHeader, jwtVerify } = await import('jose');
      const rules: JWTVerifyOptions = {
        issuer: options.issuer,
        audience: options.audience,
        clockTolerance: options.skewSeconds,
        currentDate: new Date(clock.now()),
        requiredClaims: ['exp', 'sub'],
      };
      try {
        const { alg, kid } = decodeProtectedHeader(token);
        if (alg === 'HS256' && options.secret !== undefined) {
          const key = new TextEncoder().encode(options.secret);
          return callerOf((await jwtVerify(token, key, { ...rules, algorithms: ['HS256'] })).payload);
        }
        if (options.jwksUrl === undefined || !asymmetric.includes(alg ?? ''))
          throw unauthenticated(`Tokens signed with ${JSON.stringify(alg ?? 'nothing')} are not accepted`);
        if (kid === undefined) throw unauthenticated('The token must have a key id (kid)');
        keySet ??= remoteKeys(options.jwksUrl, outbound, clock);
        return callerOf((await jwtVerify(token, await keySet, { ...rules, algorithms: asymmetric })).payload);
      } catch (error) {
        if (error instanceof TowerError) throw error;
        throw refusal(error);
      }
    },
  };
}

const retryAfterFailureMs = 30_000;

/** Fetched through the SSRF guard, refreshed every 10 minutes; after a failure, not fetched again for 30 s. */
async function remoteKeys(url: string, outbound: Outbound, clock: Clock): Promise<JWTVerifyGetKey> {
  const { createRemoteJWKSet, customFetch } = await import('jose');
  let failedAt = Number.NEGATIVE_INFINITY;
  const read = async (address: string, { signal }: { signal: AbortSignal }): Promise<Response> => {
    if (steadyMs(clock) - failedAt < retryAfterFailureMs) throw noKeys(null);
    try {
      const call = { method: 'GET' as const, url: address, headers: { accept: 'application/json' } };
      const { status, text } = await outbound.send(call, signal);
      if (status !== 200 || !Array.isArray((JSON.parse(text) as { keys?: unknown }).keys))
        throw new Error(`the key set endpoint answered ${status} without a key set`);
      return new Response(text, { status, headers: { 'content-type': 'application/json' } });
    } catch (error) {
      failedAt = steadyMs(clock);
      throw noKeys(error);
    }
  };
  return createRemoteJWKSet(new URL(url), { cooldownDuration: 30_000, cacheMaxAge: 600_000, [customFetch]: read });
}

const noKeys = (cause: unknown): TowerError =>
  new TowerError('unavailable', 'The public keys for tokens cannot be read (JWT_JWKS_URL)', {
    cause,
    retryAfterSeconds: 30,
  });

function callerOf(payload: JWTPayload): Caller {
  const claims = [payload['scope'], payload['scp'], payload['roles']].flatMap((claim) =>
    typeof claim === 'string' ? claim.split(' ') : Array.isArray(claim) ? claim.map(String) : [],
  );
  const scopes = claims.map((word) => word.replace(/^tower:/, '')).filter(isScope);
  const { sub } = payload;
  if (typeof sub !== 'string' || sub.trim() === '' || /\p{Cc}/u.test(sub))
    throw unauthenticated('The token’s sub must be a string without control characters');
  return { name: sub.slice(0, 256).toWellFormed(), via: 'jwt', scopes: [...new Set(scopes)] };
}

/** Translates jose's error codes to texts that help the owner of the token and reveal nothing else. */
function refusal(error: unknown): TowerError {
  const { code, claim } = error as { code?: string; claim?: string };
  if (code === 'ERR_JWT_EXPIRED') return unauthenticated('The token has expired');
  if (code === 'ERR_JWT_CLAIM_VALIDATION_FAILED')
    return unauthenticated(`The token’s ${claim} is missing or not the required one`);
  if (code === 'ERR_JWKS_NO_MATCHING_KEY') return unauthenticated('The token was signed with an unknown key');
  if (code === 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED') return unauthenticated('The token’s signature is invalid');
  if (code === 'ERR_JWKS_TIMEOUT' || code === 'ERR_JWKS_INVALID') return noKeys(error);
  return unauthenticated('Invalid token');
}
