import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { accessOptions } from '#areas/access.ts';
import type { Config, Secrets } from '#config/config.ts';
import { systemClock } from '#kernel/clock.ts';
import { conflict, notFound } from '#kernel/errors.ts';
import { validated } from '#kernel/validate.ts';
import { createWorkerPool } from '#kernel/worker-pool.ts';
import { createAccess } from '#services/access/access.ts';
import { type AuditEntry, createAudit } from '#services/access/audit.ts';
import { chainWith, verifiedHead, verifyExport } from '#services/access/audit-chain.ts';
import { signAnew } from '#services/access/rotate-key.ts';
import { webhookSecret } from '#services/registry/webhooks/webhook-sender.ts';
import { forgetHead } from '#store/audit-head-file.ts';
import { backupStore, restoreStore, verifyPostgres, verifyStore } from '#store/backup.ts';
import { lockDirectory } from '#store/directory-lock.ts';
import { dropPrepared, finishRotation, openKeyOf, openMasterKey, prepareKey } from '#store/master-key.ts';
import { openMetricStore, openStore } from '#store/open-store.ts';
import type { Place, Store } from '#store/store.ts';
import { openStoreAndKey, outboundOf, placeOf } from './frame.ts';

/** Parts of the service for commands that run without a server. */

export { placeOf };

/**
 * Keys and audit log of a data directory.
 * @throws TowerError `unavailable` for a store that cannot be opened
 */
export async function openAccess(config: Config, secrets: Secrets) {
  const { store, deriveKey } = await openStoreAndKey(config, secrets);
  const parts = { store, deriveKey, clock: systemClock, outbound: outboundOf(config) };
  return { store, access: createAccess({ ...accessOptions(config, secrets), ...parts }) };
}

/** Verifies an exported audit log; opens no store. @throws TowerError `not_found` without the key that signed it */
export async function verifyAuditExport(
  { DATA_DIRECTORY: directory }: Config,
  { masterKey }: Secrets,
  bytes: Uint8Array,
  earlier: Uint8Array | null,
) {
  if (masterKey === undefined && !existsSync(join(directory, 'tower.key')))
    throw notFound(`no key in ${directory} (DATA_DIRECTORY): set TOWER_SECRET_KEY to the key that signed the log`);
  const chain = chainWith(openMasterKey(directory, masterKey));
  return verifyExport(bytes, chain, await verifiedHead(earlier, chain));
}

/** @throws TowerError `not_found`, where opening the store would create it */
export function requireStore({ DATA_DIRECTORY: directory }: Config, { databaseUrl }: Secrets): void {
  if (databaseUrl === undefined && !existsSync(join(directory, 'tower.db')))
    throw notFound(`no store in ${directory} (DATA_DIRECTORY)`);
}

/** Backup, restore and verification of the data directory. */
export const storeCopies = {
  backupStore,
  restoreStore: async (from: string, place: Place) => {
    const manifest = await restoreStore(from, place);
    forgetHead(place.directory);
    return manifest;
  },
  verifyPostgres,
  verifyStore,
};

/** Opens both databases, which brings them to this program's schema, and closes them. @throws TowerError as `openStore` */
export async function migrateStore(place: Place): Promise<void> {
  for (const open of [openStore, openMetricStore]) await (await open(place)).close();
}

type Rotation = {
  /** The current key is not required, and the log is not verified. */
  isLost: boolean;
  entryOf: (details: object) => Omit<AuditEntry, 'phase' | 'status'>;
  /** Called with the new key before the store is signed with it, if the key is not in a file. */
  onKey: (key: string) => void;
};

/**
 * Replaces the secret key: signs the audit log with a new one, from which the secrets of webhooks are derived too.
 * @returns number of rows signed, and the new secrets of the webhooks
 * @throws TowerError `not_found` without a store, `conflict` while a server runs, or if the log does not verify
 */
export async function rotateKey(config: Config, secrets: Secrets, { isLost, entryOf, onKey }: Rotation) {
  const { DATA_DIRECTORY: directory } = config;
  requireStore(config, secrets);
  const lock = secrets.databaseUrl === undefined ? lockDirectory(directory) : null;
  const store = await openStore(placeOf(config, secrets));
  try {
    await requireNoLeader(store);
    const from = isLost ? null : await openKeyOf(store, directory, secrets.masterKey);
    if (from) await createAudit({ store, clock: systemClock, deriveKey: from, directory }).begin();
    const { text, deriveKey } = prepareKey(directory);
    if (secrets.masterKey !== undefined) onKey(text);
    const rows = await signAnew(store, from, deriveKey);
    const { value } = await (await store.db()).selectFrom('key_check').select('value').executeTakeFirstOrThrow();
    if (secrets.masterKey === undefined) finishRotation(directory, value);
    else dropPrepared(directory);
    const audit = createAudit({ store, clock: systemClock, deriveKey, directory });
    await audit.record({ ...entryOf({ rows, lost: isLost }), phase: 'done', status: null });
    const webhooks = await (await store.db()).selectFrom('webhooks').select('id').orderBy('id').execute();
    return { rows, webhooks: webhooks.map(({ id }) => ({ id, secret: webhookSecret(deriveKey, id) })) };
  } finally {
    await store.close();
    lock?.release();
  }
}

/** @throws TowerError `conflict` if an instance leads, so that the others run */
async function requireNoLeader(store: Store): Promise<void> {
  const leader = await (await store.db()).selectFrom('leader').select(['holder', 'until']).executeTakeFirst();
  if (leader && leader.until > (await store.now()))
    throw conflict(`the instance ${leader.holder} runs: stop all instances of this database first`);
}

/** Load tests. Loaded when used. */
export async function loadTools() {
  const [scenario, { jmeterPlan }, { k6Script }, { evaluateJtl }, generator, jmeter, { stringify }] = await Promise.all(
    [
      import('#services/acquisition/load/scenario.ts'),
      import('#services/acquisition/load/jmeter.ts'),
      import('#services/acquisition/load/k6.ts'),
      import('#services/acquisition/load/jtl.ts'),
      import('#services/acquisition/load/generator.ts'),
      import('#services/acquisition/load/jmeter-run.ts'),
      import('yaml'),
    ],
  );
  const asYaml = (value: object): string => stringify(value).trimEnd();
  return { ...scenario, ...generator, ...jmeter, asYaml, jmeterPlan, k6Script, evaluateJtl };
}

/** Time limit of a computation on this machine; Ctrl-C ends it sooner. */
const computeTimeoutMs = 3_600_000;

/** Forecasts and backtests without a server, as the API computes them. Loaded when used. */
export async function forecastTools() {
  const [{ createForecast, forecastWorker }, { ForecastRequest, BacktestRequest }] = await Promise.all([
    import('#services/forecast/forecast.ts'),
    import('#services/forecast/schemas.ts'),
  ]);
  const pool = createWorkerPool(forecastWorker, { threads: 1, queue: 1 });
  const { forecast, backtest } = createForecast({ pool, timeoutMs: computeTimeoutMs, build: 'simd' });
  return {
    forecast: async (request: object) => forecast(validated(ForecastRequest, request, 'request')),
    backtest: async (request: object) => backtest(validated(BacktestRequest, request, 'request')),
    close: () => pool.close(),
  };
}

/** Backtests of requests without a server, as the API computes them. Loaded when used. */
export async function backtestTools() {
  const [{ rightsizingWorker }, { backtestSeries }, { BacktestRequest }] = await Promise.all([
    import('#services/rightsizing/rightsizing.ts'),
    import('#services/rightsizing/backtest/run-backtest.ts'),
    import('#services/rightsizing/backtest/backtest-schemas.ts'),
  ]);
  const pool = createWorkerPool(rightsizingWorker, { threads: 1, queue: 1 });
  return {
    backtest: async (request: object) =>
      backtestSeries({ pool, timeoutMs: computeTimeoutMs }, validated(BacktestRequest, request, 'request')),
    close: () => pool.close(),
  };
}

/** Configurations of experiments. Loaded when used. */
export async function experimentConfigs() {
  const [{ loadConfig, shippedConfig }, { stringify }] = await Promise.all([
    import('#services/acquisition/experiments/experiment-config.ts'),
    import('yaml'),
  ]);
  const asYaml = (value: object): string => stringify(value).trimEnd();
  return { load: loadConfig, shipped: shippedConfig, asYaml };
}
