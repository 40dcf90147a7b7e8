import { createHmac, randomUUID } from 'node:crypto';
import type { InjectOptions } from 'fastify';
import { testNow } from './sources.ts';

/** Headers that MLflow sends with a delivery of this body. */
export function signedHeaders(
  secret: string,
  body: string,
  more: { at?: number; id?: string } = {},
): Record<string, string> {
  const id = more.id ?? randomUUID();
  const timestamp = String(Math.floor((more.at ?? testNow()) / 1000));
  const signature = createHmac('sha256', secret).update(`${id}.${timestamp}.${body}`).digest('base64');
  return {
    'content-type': 'application/json',
    'x-mlflow-delivery-id': id,
    'x-mlflow-timestamp': timestamp,
    'x-mlflow-signature': `v1,${signature}`,
  };
}

/** A request such as `GET /models`, with a body, and its signature if there is a secret. */
export const injectionOf = (call: string, body?: unknown, signedWith?: string, encoding?: string): InjectOptions => {
  const [method, url] = call.split(' ') as ['GET', string];
  const headers: Record<string, string> =
    signedWith !== undefined
      ? signedHeaders(signedWith, JSON.stringify(body))
      : typeof body === 'string'
        ? { 'content-type': 'text/plain' }
        : Buffer.isBuffer(body)
          ? { 'content-type': 'application/x-protobuf' }
          : {};
  if (encoding !== undefined) headers['content-encoding'] = encoding;
  return { method, url, headers, ...(body === undefined ? {} : { payload: body as object }) };
};
