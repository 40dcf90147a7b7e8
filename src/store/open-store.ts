import type { MetricTables } from './metric-tables.ts';
import { openSqlite, openSqliteReader } from './sqlite.ts';
import type { MetricStore, Place, Store } from './store.ts';
import type { Tables } from './tables.ts';

/**
 * Opens `tower.db` in a directory, created if it is missing, or the same tables in PostgreSQL, and migrates to the current
 * schema. A committed write survives SIGKILL and power cuts (WAL, synchronous=FULL; PostgreSQL's synchronous_commit).
 * @throws TowerError `unavailable` with place and reason, `conflict` for a newer schema
 */
export const openStore = (place: Place): Promise<Store> => open<Tables>(place, 'tower.db');

/**
 * Opens `metrics.db` beside it. A committed write survives SIGKILL; a power cut may lose the last seconds but never
 * corrupts the file (WAL, synchronous=NORMAL: 16 × the commits per second). PostgreSQL stores both parts with the same
 * durability.
 * @throws TowerError as `openStore`
 */
export const openMetricStore = (place: Place): Promise<MetricStore> => open<MetricTables>(place, 'metrics.db');

/** Opens a store that the process has created, for a thread that only reads. @throws TowerError as `openStore` */
export const openStoreReader = (place: Place): Promise<Store> => openReader<Tables>(place, 'tower.db');

/** Opens `metrics.db` in the same way. @throws TowerError as `openStore` */
export const openMetricReader = (place: Place): Promise<MetricStore> => openReader<MetricTables>(place, 'metrics.db');

async function openReader<T>({ directory, databaseUrl }: Place, part: 'tower.db' | 'metrics.db'): Promise<Store<T>> {
  if (databaseUrl === undefined) return openSqliteReader<T>(directory, part);
  const { openPostgres } = await import('./postgres.ts');
  return openPostgres<T>(databaseUrl, part, 1, { isPrepared: true });
}

async function open<T>(place: Place, part: 'tower.db' | 'metrics.db'): Promise<Store<T>> {
  if (place.databaseUrl === undefined) return openSqlite<T>(place.directory, part);
  const { openPostgres } = await import('./postgres.ts');
  return openPostgres<T>(place.databaseUrl, part, place.connections ?? 5);
}
