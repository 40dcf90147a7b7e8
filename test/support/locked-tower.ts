import type { Scope } from '#services/access/scopes.ts';
import { fakeMlflow } from '../fakes/mlflow.ts';
import { smallRegistry } from '../fakes/small-registry.ts';
import { handClock } from './sources.ts';
import { audience, issuer, sharedSecret, tokenIssuer } from './tokens.ts';
import { testTower } from './tower.ts';

/** An instance with authentication, and a token issuer for it. */
export async function lockedTower(env: Record<string, string> = {}) {
  const clock = handClock();
  const [fake, id] = [await fakeMlflow(smallRegistry()), await tokenIssuer(clock.now())];
  const tower = await testTower(
    {
      MLFLOW_TRACKING_URI: fake.url,
      AUTH_ENABLED: 'true',
      JWT_ISSUER: issuer,
      JWT_AUDIENCE: audience,
      JWT_JWKS_URL: id.url,
      JWT_HS256_SECRET: sharedSecret,
      MLFLOW_WEBHOOK_SECRET: 'right',
      OUTBOUND_ALLOWED_HOSTS: '127.0.0.1',
      ...env,
    },
    { clock },
  );
  await tower.services.registry.refresh();
  const keyWith = async (...scopes: Scope[]) =>
    (await tower.services.access.keys.create({ name: scopes.join('+'), scopes, expires_in_days: 1 }, 'test')).key;
  const whoami = (token: string) =>
    tower.app.inject({ url: '/api/v1/access/whoami', headers: { authorization: `Bearer ${token}` } });
  return { ...tower, clock, id, fake, keyWith, whoami };
}

/** The secret part of `tower_<id>_<secret>`; it may contain underscores. */
export function secretOf(key: string): string {
  return key.split('_').slice(2).join('_');
}
