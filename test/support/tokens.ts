import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose';
import { whenTestIsOver } from './cleanup.ts';

export const issuer = 'https://id.example.com';
export const audience = 'control-tower';
export const sharedSecret = 'a shared secret of more than 32 characters';

type Claims = JWTPayload & { alg?: string; kid?: string | null };

/** A token issuer with keys of three kinds, and the URL of its public keys. */
export async function tokenIssuer(nowMs: number) {
  const kinds = ['RS256', 'ES256', 'EdDSA'] as const;
  const pairs = Object.fromEntries(
    await Promise.all(kinds.map(async (alg) => [alg, await generateKeyPair(alg, { extractable: true })])),
  );
  const keys = await Promise.all(
    kinds.map(async (alg) => ({ ...(await exportJWK(pairs[alg].publicKey)), alg, kid: `key-${alg}`, use: 'sig' })),
  );
  const issued = { requests: 0, url: '', keys, broken: false };
  const server = createServer((_request, response) => {
    issued.requests += 1;
    if (issued.broken) {
      response.writeHead(500).end('no');
      return;
    }
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ keys: issued.keys }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  whenTestIsOver(() => {
    server.closeAllConnections();
    server.close();
  });
  issued.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`;
  const now = Math.floor(nowMs / 1000);

  /** A valid token, except for the given changes. */
  const token = async ({ alg = 'RS256', kid = `key-${alg}`, ...claims }: Claims = {}): Promise<string> => {
    const payload = { iss: issuer, aud: audience, sub: 'dana', iat: now, exp: now + 300, scope: 'read', ...claims };
    const header = { alg, ...(kid === null ? {} : { kid }) };
    const signer = new SignJWT(payload).setProtectedHeader(header);
    return signer.sign(alg === 'HS256' ? new TextEncoder().encode(sharedSecret) : pairs[alg].privateKey);
  };
  return { ...issued, issued, token, pairs, now };
}

/** An unsigned token. */
export function unsigned(payload: object, header: object = { alg: 'none' }): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part(header)}.${part(payload)}.`;
}
