import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { Frame } from '#areas/area.ts';
import type { Config, Secrets } from '#config/config.ts';
import type { Clock } from '#kernel/clock.ts';
import type { Releaser } from '#kernel/lifecycle.ts';
import type { RootLog } from '#kernel/log.ts';
import type { Metrics } from '#kernel/metrics.ts';
import { createOutbound } from '#kernel/outbound.ts';
import type { Random } from '#kernel/rng.ts';
import { requireAuditLog } from '#store/audit-head-file.ts';
import { openKeyOf } from '#store/master-key.ts';
import { openStore } from '#store/open-store.ts';
import { createOutbox } from '#store/outbox.ts';
import { createQueue } from '#store/queue.ts';
import type { Place } from '#store/store.ts';

type Parts = {
  config: Config;
  secrets: Secrets;
  version: string;
  clock: Clock;
  random: Random;
  log: RootLog;
  metrics: Metrics;
};

/**
 * Opens the store, the queue and the outbox.
 * @throws TowerError `unavailable` for a store that cannot be opened, `conflict` for another key, or a lost store
 */
export async function openFrame(parts: Parts, defer: Releaser['defer']): Promise<Frame> {
  const { config, secrets, clock, random, log, metrics } = parts;
  const { store, deriveKey } = await openStoreAndKey(config, secrets);
  defer('store', () => store.close());
  const outbound = outboundOf(config);
  defer('outbound', () => outbound.close());
  const instance = `${hostname()}-${process.pid}-${randomUUID().slice(0, 8)}`;
  const attempts = metrics.counter({
    name: 'tower_outbox_attempts_total',
    help: 'Attempts to deliver, by outcome; uncertain = in progress when the instance ended',
    labels: ['outcome'],
  });
  const onAttempt = (outcome: string) => attempts.inc({ outcome });
  return {
    ...parts,
    instance,
    store,
    deriveKey,
    outbound,
    queue: createQueue({ store, tower: instance, clock, log }),
    outbox: createOutbox({ store, clock, random, log, onAttempt }),
    defer,
  };
}

/** The store and the key that signs what is in it. @throws TowerError as `openFrame` */
export async function openStoreAndKey(config: Config, secrets: Secrets) {
  const store = await openStore(placeOf(config, secrets));
  try {
    const deriveKey = await openKeyOf(store, config.DATA_DIRECTORY, secrets.masterKey);
    await requireAuditLog(store, config.DATA_DIRECTORY);
    return { store, deriveKey };
  } catch (error) {
    await store.close();
    throw error;
  }
}

export const outboundOf = (config: Config) =>
  createOutbound({
    allowed: config.OUTBOUND_ALLOWED_HOSTS,
    timeoutMs: config.WEBHOOK_TIMEOUT_SECONDS * 1000,
    maxBytes: 65_536,
  });

/** Where the store is; the databases of registry and metrics share the connections. */
export const placeOf = (config: Config, secrets: Secrets): Place => ({
  directory: config.DATA_DIRECTORY,
  databaseUrl: secrets.databaseUrl,
  connections: Math.max(1, Math.floor(config.DATABASE_CONNECTIONS / 2)),
});
