import type { Drift } from '../services/drift/drift.ts';
import type { Monitoring } from '../services/monitoring/monitoring.ts';
import type { Connection } from '../services/registry/mirror.ts';
import type { Registry } from '../services/registry/registry.ts';
import type { EventStream } from '../services/registry/stream.ts';
import type { Metrics } from './kernel/metrics.ts';
import type { Outbox } from './store/outbox.ts';

type Watched = { registry: Registry; monitoring: Monitoring; drift: Drift; stream: EventStream; outbox: Outbox };

/** What is asked for at every scrape. */
export function watchGauges(metrics: Metrics, { registry, monitoring, drift, stream, outbox }: Watched): void {
  const { watch } = metrics;
  const seconds = (ms: number | null | undefined) => (ms === null || ms === undefined ? null : ms / 1000);
  metrics.watchBy({
    name: 'tower_registry_model_versions',
    help: 'Model versions in the mirror, by effective stage',
    label: 'stage',
    read: () => {
      const { snapshot } = registry.status();
      return (
        snapshot && Object.fromEntries(Object.entries(snapshot.byStage).map(([stage, list]) => [stage, list.length]))
      );
    },
  });
  metrics.watchBy({
    name: 'tower_drift_versions',
    help: 'Monitored model versions, by what is thought of their drift',
    label: 'status',
    read: () => (drift.overview().assessed_at === null ? null : drift.overview().counts),
  });
  watch({ name: 'tower_monitored_models', help: 'Monitored model versions', read: () => monitoring.count() });
  watch({
    name: 'tower_registry_cache_age_seconds',
    help: 'Age of the mirror',
    read: () => seconds(registry.status().ageMs),
  });
  watch({
    name: 'tower_registry_stale',
    help: '1 when the mirror is stale',
    read: () => Number(registry.status().stale),
  });
  watch({
    name: 'tower_registry_sample_data',
    help: '1 while sample data is shown',
    read: () => Number(registry.status().origin === 'sample'),
  });
  watch({
    name: 'tower_mlflow_up',
    help: '1 when the last read of MLflow succeeded; nothing before the first',
    read: () => mlflowUp(registry.status().connection),
  });
  watch({
    name: 'tower_registry_dangling_aliases',
    help: 'Aliases whose version is gone',
    read: () => registry.status().snapshot?.danglingAliases.length ?? null,
  });
  watch({ name: 'tower_stream_clients', help: 'Clients that follow /models/stream', read: () => stream.clients() });
  watch({
    name: 'tower_outbox_due',
    help: 'Deliveries still to be made',
    read: async () => (await outbox.counts()).due,
  });
  watch({
    name: 'tower_outbox_dead',
    help: 'Deliveries that were given up',
    read: async () => (await outbox.counts()).dead,
  });
}

const mlflowUp = (connection: Connection): number | null =>
  connection === 'connected' || connection === 'disconnected' ? Number(connection === 'connected') : null;
