import { isoTime } from '#kernel/clock.ts';
import type { MirrorStatus } from './mirror/mirror.ts';

/** A registry, and the user that the mirror authenticates as. */
type MirroredRegistry = {
  name: string;
  user: string | null;
  registry: { status(): MirrorStatus; journalError(): string | null };
};

/** Health of all registries: of the only one, or combined, with each of them in `registries`. */
export function healthOf(registries: MirroredRegistry[]) {
  const each = registries.map((item) => ({ name: item.name, ...registryHealth(item) }));
  if (each.length > 1) return { ...combined(each), registries: each };
  const [first] = each;
  if (!first) throw new Error('no registry is configured');
  const { name: _, ...only } = first;
  return only;
}

function registryHealth({ user, registry }: MirroredRegistry) {
  const { snapshot, origin, connection, stale, ageMs, lastError, sourceLabel } = registry.status();
  return {
    status: statusOf(registry.status(), registry.journalError()),
    mlflow_connection: connection,
    experiments_count: snapshot?.experiments.length ?? null,
    data_source: origin,
    notice: origin === 'sample' ? noticeOf(connection) : null,
    source: sourceLabel,
    mlflow_version: snapshot?.rows.serverVersion ?? null,
    mlflow_user: user,
    models_count: snapshot?.versions.length ?? null,
    last_refresh: isoTime(snapshot?.readAt ?? null),
    cache_age_seconds: ageMs === null ? null : Math.floor(ageMs / 1000),
    stale,
    last_error: lastError,
    journal_error: registry.journalError(),
  };
}

type RegistryHealth = ReturnType<typeof registryHealth> & { name: string };

/** Combines several registries: the worst status, sums of known counts, the oldest age. */
function combined(each: RegistryHealth[]): ReturnType<typeof registryHealth> {
  const sum = (values: (number | null)[]) => {
    const known = values.filter((value) => value !== null);
    return known.length === 0 ? null : known.reduce((total, value) => total + value, 0);
  };
  const worst = <T>(order: readonly T[], values: T[]): T =>
    order.find((word) => values.includes(word)) ?? (values[0] as T);
  const joined = (texts: (string | null)[]) => texts.filter(Boolean).join('; ') || null;
  const of = <K extends keyof RegistryHealth>(key: K) => each.map((item) => item[key]);
  return {
    status: worst(['degraded', 'starting', 'healthy'] as const, of('status')),
    mlflow_connection: worst(
      ['disconnected', 'connecting', 'not_configured', 'connected'] as const,
      of('mlflow_connection'),
    ),
    experiments_count: sum(of('experiments_count')),
    data_source: worst(['sample', 'mlflow'] as const, of('data_source')),
    notice: joined(of('notice')),
    source: each.map(({ name, source }) => `${name}=${source}`).join(),
    mlflow_version: [...new Set(of('mlflow_version').filter((item) => item !== null))].join(', ') || null,
    mlflow_user: [...new Set(of('mlflow_user').filter((item) => item !== null))].join(', ') || null,
    models_count: sum(of('models_count')),
    last_refresh: of('last_refresh').includes(null)
      ? null
      : of('last_refresh').reduce(
          (oldest, item) => ((item ?? '') < (oldest ?? '') ? item : oldest),
          of('last_refresh')[0] ?? null,
        ),
    cache_age_seconds: Math.max(0, ...of('cache_age_seconds').map((item) => item ?? 0)),
    stale: of('stale').includes(true),
    last_error: joined(each.map(({ name, last_error }) => last_error && `${name}: ${last_error}`)),
    journal_error: joined(each.map(({ name, journal_error }) => journal_error && `${name}: ${journal_error}`)),
  };
}

const noticeOf = (connection: MirrorStatus['connection']): string =>
  connection === 'not_configured'
    ? 'This is sample data. Set MLFLOW_TRACKING_URI to mirror your own registry.'
    : 'MLflow is unreachable: this is sample data, served until it answers (ENABLE_MOCK_DATA=true).';

function statusOf({ snapshot, stale, connection, origin }: MirrorStatus, journalError: string | null) {
  if (!snapshot) return connection === 'disconnected' ? ('degraded' as const) : ('starting' as const);
  // Sample data shown in place of a configured registry is never healthy.
  const standIn = origin === 'sample' && connection !== 'not_configured';
  return stale || standIn || journalError !== null ? ('degraded' as const) : ('healthy' as const);
}
