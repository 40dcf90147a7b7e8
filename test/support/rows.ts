import { seededRandom } from '#kernel/rng.ts';
import type { RegistryRows, RunRow, VersionRow } from '#services/registry/snapshot/snapshot.ts';

/** Rows of an empty registry, but for those given. */
export const rowsOf = (more: Partial<RegistryRows> = {}): RegistryRows => ({
  experiments: [],
  models: [],
  versions: [],
  runs: [],
  loggedModels: [],
  serverVersion: null,
  ...more,
});

/** Rows of a registry of a given size, all with runs and metrics; deterministic. */
export function manyRows(models: number, versionsPerModel: number, metricsPerRun = 4): RegistryRows {
  const at = 1_780_000_000_000;
  const random = seededRandom(models * 1000 + versionsPerModel);
  const hex = () =>
    Array.from({ length: 4 }, () =>
      Math.floor(random() * 2 ** 32)
        .toString(16)
        .padStart(8, '0'),
    ).join('');
  const rows = rowsOf();
  rows.experiments.push({
    experimentId: '1',
    name: 'bench',
    artifactLocation: 's3://b',
    lifecycleStage: 'active',
    createdAt: at,
    updatedAt: at,
    tags: {},
  });
  for (let m = 0; m < models; m += 1) {
    const name = `model-${String(m).padStart(6, '0')}`;
    rows.models.push({
      name,
      createdAt: at,
      updatedAt: at,
      description: 'a model',
      tags: { team: `team-${m % 17}` },
      aliases: { champion: String(versionsPerModel) },
    });
    for (let v = 1; v <= versionsPerModel; v += 1) {
      const runId = hex();
      rows.versions.push(
        versionRow({
          name,
          version: String(v),
          runId,
          createdAt: at + Math.floor(random() * 1e9),
          updatedAt: at + Math.floor(random() * 1e9),
          tags: { validated: 'true', task: 'classification' },
        }),
      );
      rows.runs.push(
        runRow({
          runId,
          metrics: Object.fromEntries(
            Array.from({ length: metricsPerRun }, (_, i) => [`metric_${i}`, Number(random().toFixed(4))]),
          ),
        }),
      );
    }
  }
  return rows;
}

export const versionRow = (more: Partial<VersionRow> = {}): VersionRow => ({
  name: 'model',
  version: '1',
  createdAt: 1,
  updatedAt: 2,
  currentStage: 'None',
  description: '',
  source: 's3://x',
  status: 'READY',
  runId: null,
  tags: {},
  ...more,
});

export const runRow = (more: Partial<RunRow> = {}): RunRow => ({
  runId: 'r',
  experimentId: '1',
  status: 'FINISHED',
  deleted: false,
  startedAt: 1000,
  endedAt: 2000,
  metrics: {},
  lateMetrics: [],
  ...more,
});

/** A model without versions; its creation time depends on its name. */
export const modelRow = (
  name: string,
  more: Partial<RegistryRows['models'][number]> = {},
): RegistryRows['models'][number] => ({
  name,
  createdAt: 1000 + name.length,
  updatedAt: 1,
  description: '',
  tags: {},
  aliases: {},
  ...more,
});
