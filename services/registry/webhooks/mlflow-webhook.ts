import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Clock } from '#kernel/clock.ts';
import { forbidden, invalid, unauthenticated } from '#kernel/errors.ts';
import type { Log } from '#kernel/log.ts';
import type { Store } from '#store/store.ts';
import type { MlflowDelivery } from '../journal/event-schemas.ts';

/**
 * MLflow's own webhooks (3.3 and later), used as a hint that a model changed: the model is reread by name, and the
 * content of the delivery is not trusted. A test delivery about `example_model` therefore changes nothing, unless that
 * model exists.
 */
export type MlflowWebhook = {
  /**
   * @param headers of the request, names in lower case
   * @param body the raw bytes, which the signature covers
   * @throws `forbidden` if no secret is set, `unauthenticated` for a wrong signature or timestamp, `invalid`
   */
  take(headers: Record<string, string | string[] | undefined>, body: Buffer): Promise<MlflowDelivery>;
};

type Deps = {
  secret: string | undefined;
  store: Store;
  clock: Clock;
  log: Log;
  refreshModel: (name: string) => Promise<void>;
};

const toleranceMs = 300_000;

export function createMlflowWebhook(deps: Deps): MlflowWebhook {
  return {
    take: async (headers, body) => {
      const id = checkSignature(deps, headers, body);
      const { event, name } = parseBody(body);
      if (!(await isFirstTime(deps, id))) return { status: 'duplicate', event, model_name: name };
      if (name === null) return { status: 'ignored', event, model_name: null };
      // MLflow waits for the answer, so the reread happens after it.
      deps.refreshModel(name).catch((error: unknown) => {
        deps.log.warn(
          { err: error, model: name },
          'failed to read a model after a webhook of MLflow; the next refresh reads it',
        );
      });
      return { status: 'accepted', event, model_name: name };
    },
  };
}

/** @returns the delivery's id */
function checkSignature({ secret, clock }: Deps, headers: Parameters<MlflowWebhook['take']>[0], body: Buffer): string {
  if (secret === undefined)
    throw forbidden('Deliveries are refused: MLFLOW_WEBHOOK_SECRET is not set', {
      parameter: 'MLFLOW_WEBHOOK_SECRET',
    });
  const [id, timestamp, signature] = ['id', 'timestamp', 'signature'].map((part) => {
    const value = headers[`x-mlflow-${part === 'id' ? 'delivery-id' : part}`];
    return typeof value === 'string' ? value : '';
  }) as [string, string, string];
  const refuse = (constraint: string, parameter: string) =>
    unauthenticated(`${parameter} ${constraint}`, { parameter, constraint });
  if (!/^[\w-]{8,128}$/.test(id)) throw refuse('is missing or not an id', 'X-MLflow-Delivery-Id');
  if (!/^\d{9,11}$/.test(timestamp)) throw refuse('is missing or not a time in seconds', 'X-MLflow-Timestamp');
  const expected = createHmac('sha256', secret).update(`${id}.${timestamp}.`).update(body).digest();
  const given = Buffer.from(/^v1,([A-Za-z0-9+/]{43}=)$/.exec(signature)?.[1] ?? '', 'base64');
  if (given.length !== expected.length || !timingSafeEqual(given, expected))
    throw refuse('is missing or invalid', 'X-MLflow-Signature');
  if (Math.abs(clock.now() - Number(timestamp) * 1000) > toleranceMs)
    throw refuse(`must be within ${toleranceMs / 1000} s of this server’s time`, 'X-MLflow-Timestamp');
  return id;
}

function parseBody(body: Buffer): { event: string; name: string | null } {
  let json: unknown;
  try {
    json = JSON.parse(body.toString());
  } catch {
    throw invalid('The body must be JSON', { parameter: 'body', constraint: 'must be JSON' });
  }
  const { entity, action, data } = (json ?? {}) as { entity?: unknown; action?: unknown; data?: { name?: unknown } };
  if (typeof entity !== 'string' || typeof action !== 'string') {
    const constraint = 'must be a string';
    throw invalid(`entity and action ${constraint}`, { parameter: 'entity', constraint });
  }
  const name = data?.name;
  const isRegistry = /^(registered_model|model_version)/.test(entity);
  return {
    event: `${entity}.${action}`.slice(0, 200),
    name: isRegistry && typeof name === 'string' && name !== '' && name.length <= 512 ? name : null,
  };
}

/** Deduplicates deliveries, also across restarts; ids are kept well beyond the validity of a delivery. */
async function isFirstTime({ store, clock }: Deps, id: string): Promise<boolean> {
  const db = await store.db();
  const now = clock.now();
  const longAgo = new Date(now - 4 * toleranceMs).toISOString();
  await db.deleteFrom('seen_deliveries').where('seen_at', '<', longAgo).execute();
  const { numInsertedOrUpdatedRows } = await db
    .insertInto('seen_deliveries')
    .values({ id, seen_at: new Date(now).toISOString() })
    .onConflict((at) => at.doNothing())
    .executeTakeFirstOrThrow();
  return numInsertedOrUpdatedRows !== 0n && numInsertedOrUpdatedRows !== undefined;
}
