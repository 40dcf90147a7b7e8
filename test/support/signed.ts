import { createHmac, randomUUID } from 'node:crypto';

/** The headers MLflow puts on a delivery of this body. */
export function signedHeaders(
  secret: string,
  body: string,
  more: { at?: number; id?: string } = {},
): Record<string, string> {
  const id = more.id ?? randomUUID();
  const timestamp = String(Math.floor((more.at ?? Date.now()) / 1000));
  const signature = createHmac('sha256', secret).update(`${id}.${timestamp}.${body}`).digest('base64');
  return {
    'content-type': 'application/json',
    'x-mlflow-delivery-id': id,
    'x-mlflow-timestamp': timestamp,
    'x-mlflow-signature': `v1,${signature}`,
  };
}
