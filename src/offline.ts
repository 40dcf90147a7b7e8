import { accessOptions } from '#areas/access.ts';
import type { Config, Secrets } from '#config/config.ts';
import { systemClock } from '#kernel/clock.ts';
import { createAccess } from '#services/access/access.ts';
import { backupStore, restoreStore, verifyPostgres, verifyStore } from '#store/backup.ts';
import { openMetricStore, openStore } from '#store/open-store.ts';
import type { Place } from '#store/store.ts';
import { openStoreAndKey, outboundOf, placeOf } from './frame.ts';

/** Parts of the service for commands that run without a server. */

export { placeOf };

/**
 * Keys and audit log of a data folder.
 * @throws TowerError `unavailable` for a store that cannot be opened
 */
export async function openAccess(config: Config, secrets: Secrets) {
  const { store, deriveKey } = await openStoreAndKey(config, secrets);
  const parts = { store, deriveKey, clock: systemClock, outbound: outboundOf(config) };
  return { store, access: createAccess({ ...accessOptions(config, secrets), ...parts }) };
}

/** Backup, restore and verification of the data folder. */
export const storeCopies = { backupStore, restoreStore, verifyPostgres, verifyStore };

/** Opens both databases, which brings them to this program's schema, and closes them. @throws TowerError as `openStore` */
export async function migrateStore(place: Place): Promise<void> {
  for (const open of [openStore, openMetricStore]) await (await open(place)).close();
}

/** Load tests. Loaded when used. */
export async function loadTools() {
  const [scenario, { jmeterPlan }, { k6Script }, { judgeJtl }, generator, jmeter, { stringify }] = await Promise.all([
    import('#services/acquisition/load/scenario.ts'),
    import('#services/acquisition/load/jmeter.ts'),
    import('#services/acquisition/load/k6.ts'),
    import('#services/acquisition/load/jtl.ts'),
    import('#services/acquisition/load/generator.ts'),
    import('#services/acquisition/load/jmeter-run.ts'),
    import('yaml'),
  ]);
  const asYaml = (value: object): string => stringify(value).trimEnd();
  return { ...scenario, ...generator, ...jmeter, asYaml, jmeterPlan, k6Script, judgeJtl };
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
