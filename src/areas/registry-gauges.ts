import type { GaugeReading } from '#kernel/metrics.ts';
import type { EventStream } from '#services/registry/journal/stream.ts';
import type { Connection } from '#services/registry/mirror/mirror.ts';
import type { RegistryParts } from './registry-one.ts';

/** Gauges of the registries. With several registries, each sample has the label `registry`. */
export function registryGauges(all: RegistryParts[]): GaugeReading[] {
  const several = all.length > 1;
  const labels = several ? ['registry'] : [];
  const own = ({ name }: RegistryParts): Record<string, string> => (several ? { registry: name } : {});
  const each = (
    name: string,
    help: string,
    read: (parts: RegistryParts) => number | null | Promise<number>,
  ): GaugeReading => ({
    name,
    help,
    labels,
    read: () => Promise.all(all.map(async (parts) => ({ of: own(parts), value: await read(parts) }))),
  });
  const eachBy = (
    name: string,
    help: string,
    label: string,
    read: (parts: RegistryParts) => Counts | Promise<Counts>,
  ): GaugeReading => ({
    name,
    help,
    labels: [...labels, label],
    read: async () => {
      const samples = all.map(async (parts) =>
        Object.entries((await read(parts)) ?? {}).map(([word, value]) => ({
          of: { ...own(parts), [label]: word },
          value,
        })),
      );
      return (await Promise.all(samples)).flat();
    },
  });
  const status = ({ registry }: RegistryParts) => registry.status();

  return [
    eachBy(
      'tower_registry_model_versions',
      'Model versions in the mirror, by effective stage',
      'stage',
      versionsByStage,
    ),
    eachBy('tower_drift_versions', 'Monitored model versions, by drift status', 'status', versionsByDrift),
    each('tower_monitored_models', 'Monitored model versions', ({ monitoring }) => monitoring.count()),
    each('tower_registry_cache_age_seconds', 'Age of the mirror', (parts) => seconds(status(parts).ageMs)),
    each('tower_registry_stale', '1 if the mirror is stale', (parts) => Number(status(parts).stale)),
    each('tower_registry_sample_data', '1 if sample data is served', (parts) =>
      Number(status(parts).origin === 'sample'),
    ),
    each('tower_mlflow_up', '1 if the last read of MLflow succeeded; no value before the first read', (parts) =>
      mlflowUp(status(parts).connection),
    ),
    each('tower_registry_dangling_aliases', 'Aliases whose version was deleted', danglingAliases),
    each('tower_registry_journal_failing', '1 if changes cannot be written to the journal', ({ registry }) =>
      Number(registry.journalError() !== null),
    ),
  ];
}

type Counts = Record<string, number> | null;

function versionsByStage({ registry }: RegistryParts): Counts {
  const { snapshot } = registry.status();
  return snapshot && Object.fromEntries(Object.entries(snapshot.byStage).map(([stage, list]) => [stage, list.length]));
}

async function versionsByDrift({ drift }: RegistryParts): Promise<Counts> {
  const { assessed_at, counts } = await drift.overview();
  return assessed_at === null ? null : counts;
}

const danglingAliases = ({ registry }: RegistryParts): number | null =>
  registry.status().snapshot?.danglingAliases.length ?? null;

/** Clients that are connected to the event stream. */
export const streamGauge = (stream: EventStream): GaugeReading => ({
  name: 'tower_stream_clients',
  help: 'Clients connected to /models/stream',
  read: () => [{ value: stream.clients() }],
});

const seconds = (ms: number | null): number | null => (ms === null ? null : ms / 1000);

const mlflowUp = (connection: Connection): number | null =>
  connection === 'connected' || connection === 'disconnected' ? Number(connection === 'connected') : null;
