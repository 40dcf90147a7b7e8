import type { Connection } from '../services/registry/mirror.ts';
import type { RegistryParts, SharedParts } from './compose-registry.ts';
import type { Metrics } from './kernel/metrics.ts';
import type { Cluster } from './system.ts';

/** What is asked for at every scrape. Where there are several registries, each sample names its own. */
type Watched = () => Pick<Cluster, 'leads' | 'store_error'>;

export function watchGauges(metrics: Metrics, all: RegistryParts[], shared: SharedParts, cluster: Watched): void {
  const several = all.length > 1;
  const labels = several ? ['registry'] : [];
  const own = ({ name }: RegistryParts): Record<string, string> => (several ? { registry: name } : {});
  const each = (name: string, help: string, read: (parts: RegistryParts) => number | null | Promise<number>) =>
    metrics.watch({
      name,
      help,
      labels,
      read: () => Promise.all(all.map(async (parts) => ({ of: own(parts), value: await read(parts) }))),
    });
  const eachBy = (
    name: string,
    help: string,
    label: string,
    read: (parts: RegistryParts) => Record<string, number> | null,
  ) =>
    metrics.watch({
      name,
      help,
      labels: [...labels, label],
      read: () =>
        all.flatMap((parts) =>
          Object.entries(read(parts) ?? {}).map(([word, value]) => ({ of: { ...own(parts), [label]: word }, value })),
        ),
    });
  const status = ({ registry }: RegistryParts) => registry.status();

  eachBy('tower_registry_model_versions', 'Model versions in the mirror, by effective stage', 'stage', (parts) => {
    const { snapshot } = status(parts);
    return (
      snapshot && Object.fromEntries(Object.entries(snapshot.byStage).map(([stage, list]) => [stage, list.length]))
    );
  });
  eachBy(
    'tower_drift_versions',
    'Monitored model versions, by what is thought of their drift',
    'status',
    ({ drift }) => (drift.overview().assessed_at === null ? null : drift.overview().counts),
  );
  each('tower_monitored_models', 'Monitored model versions', ({ monitoring }) => monitoring.count());
  each('tower_registry_cache_age_seconds', 'Age of the mirror', (parts) => seconds(status(parts).ageMs));
  each('tower_registry_stale', '1 when the mirror is stale', (parts) => Number(status(parts).stale));
  each('tower_registry_sample_data', '1 while sample data is shown', (parts) =>
    Number(status(parts).origin === 'sample'),
  );
  each('tower_mlflow_up', '1 when the last read of MLflow succeeded; nothing before the first', (parts) =>
    mlflowUp(status(parts).connection),
  );
  each(
    'tower_registry_dangling_aliases',
    'Aliases whose version is gone',
    (parts) => status(parts).snapshot?.danglingAliases.length ?? null,
  );
  each('tower_registry_journal_failing', '1 while changes cannot be journaled', ({ registry }) =>
    Number(registry.journalError() !== null),
  );
  watchShared(metrics, shared, cluster);
}

function watchShared(metrics: Metrics, { stream, outbox }: SharedParts, cluster: Watched): void {
  const one = (name: string, help: string, read: () => number | Promise<number>) =>
    metrics.watch({ name, help, read: async () => [{ value: await read() }] });
  one('tower_leads', '1 while this tower leads those over its store', () => Number(cluster().leads));
  one('tower_store_up', '1 while the store can be used', () => Number(cluster().store_error === null));
  one('tower_stream_clients', 'Clients that follow /models/stream', () => stream.clients());
  one('tower_outbox_due', 'Deliveries still to be made', async () => (await outbox.counts()).due);
  one('tower_outbox_dead', 'Deliveries that were given up', async () => (await outbox.counts()).dead);
}

const seconds = (ms: number | null): number | null => (ms === null ? null : ms / 1000);

const mlflowUp = (connection: Connection): number | null =>
  connection === 'connected' || connection === 'disconnected' ? Number(connection === 'connected') : null;
