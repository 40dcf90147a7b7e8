import type { Store } from '#store/store.ts';
import { assessDistribution } from './assess-distribution.ts';
import { assessMetric, type MetricRules } from './assess-metric.ts';
import { type Measured, postedPoint } from './points.ts';
import { type Baseline, type Posted, readPosted } from './posted.ts';
import type { VersionDrift } from './schemas.ts';
import type { Draft } from './verdict.ts';

/** Examines versions of one model. Runs in a thread (drift.worker.ts): it reads and compares many samples. */

export type Examination = {
  registry: string;
  name: string;
  /** With their values in MLflow. */
  versions: { version: string; measured: Measured[]; baselines: Baseline[] }[];
  rules: MetricRules;
  now: number;
  /** Start of the values that are listed; null = none are. */
  since: number | null;
};

export type Examined = {
  drafts: Draft[];
  /** Posted observations that were too many to be read. */
  omitted: number;
} & Pick<VersionDrift, 'points' | 'metrics_over_time'>;

const dayMs = 86_400_000;
const maxPoints = 2000;

/** @throws TowerError `unavailable` for a store that cannot be read */
export async function examine(store: Store, { registry, name, versions, ...rest }: Examination): Promise<Examined[]> {
  const { rules, now, since } = rest;
  const examined: Examined[] = [];
  for (const { version, measured, baselines } of versions) {
    const { posted, omitted } = await readPosted(store, { registry, name, version }, baselines);
    // Clients do log future timestamps.
    const all = [...measured, ...posted.flatMap(postedPoint)].filter((point) => point.at <= now);
    const drafts = draftsOf(all, posted, baselines, rules);
    examined.push({ drafts, omitted, ...listed(since === null ? [] : all.filter((point) => point.at >= since)) });
  }
  return examined;
}

/** A draft per metric and dataset, and per feature and dataset. */
function draftsOf(measured: Measured[], posted: Posted[], pinned: Baseline[], rules: MetricRules): Draft[] {
  const baselineFor = (subject: string) => pinned.find((item) => item.subject === subject) ?? null;
  const evaluated = measured.filter((point) => point.phase !== 'training');
  const series = Map.groupBy(evaluated, (point) => JSON.stringify([point.metric, point.dataset]));
  const items = posted.flatMap((item) => (item.kind === 'value' ? [] : [item]));
  const features = Map.groupBy(items, (item) => JSON.stringify([item.subject, item.dataset]));
  return [
    ...[...series.values()].map((list) => {
      const { metric, dataset } = list[0]!;
      return assessMetric(metric, dataset, list, baselineFor(metric), rules);
    }),
    ...[...features.values()].map((list) => {
      const { subject, dataset } = list[0]!;
      return assessDistribution(subject, dataset, list, baselineFor(subject), rules.warningP);
    }),
  ];
}

function listed(measured: Measured[]): Pick<Examined, 'points' | 'metrics_over_time'> {
  const shown = measured.sort((a, b) => a.at - b.at);
  return {
    metrics_over_time: rowsOf(shown.filter((point) => point.phase !== 'training')),
    points: shown.slice(-maxPoints).map(({ metric, value, at, source, phase, runId, dataset }) => ({
      metric,
      value,
      at: new Date(at).toISOString(),
      source,
      phase,
      run_id: runId,
      dataset,
    })),
  };
}

/** One row per UTC day with the last value of each metric; days without a value are omitted. */
function rowsOf(points: Measured[]): VersionDrift['metrics_over_time'] {
  const rows = new Map<number, Map<string, number | null>>();
  for (const point of [...points].sort((a, b) => a.at - b.at || a.step - b.step)) {
    const day = Math.floor(point.at / dayMs) * dayMs;
    const row = rows.get(day) ?? new Map<string, number | null>();
    rows.set(day, row.set(point.metric, point.value));
  }
  return [...rows].map(([day, values]) => ({ ...Object.fromEntries(values), date: new Date(day).toISOString() }));
}
