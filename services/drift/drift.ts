import type { Clock } from '../../src/kernel/clock.ts';
import { invalid } from '../../src/kernel/errors.ts';
import type { Reading } from '../registry/reads.ts';
import type { ModelVersion, RegisteredModel } from '../registry/snapshot.ts';
import type { MetricPoint } from '../registry/source.ts';
import type { ModelDrift } from './schemas.ts';

/** What drift needs of the registry. */
type Points = {
  provenance(): { ageMs: number | null; stale: boolean };
  model(name: string): Promise<RegisteredModel>;
  history(runIds: string[], metrics: string[]): Promise<Reading<MetricPoint[]>>;
  loggedModel(modelId: string): Promise<Reading<MetricPoint[]>>;
};

export type Drift = {
  /**
   * Values of each version measured after its training, in the last `days` days (1..3650, default 30), by UTC day.
   * What lies within the run is a learning curve and is not shown. Nothing is filled in.
   * @throws `invalid` for days, `not_found` for the model, `unavailable` where MLflow is down and nothing is remembered
   */
  ofModel(name: string, days: string | undefined): Promise<Reading<ModelDrift>>;
};

const dayMs = 86_400_000;

export function createDrift({ points, clock }: { points: Points; clock: Clock }): Drift {
  return {
    ofModel: async (name, daysText) => {
      const days = parseDays(daysText);
      const model = await points.model(name);
      const since = clock.now() - days * dayMs;
      const [history, logged] = await Promise.all([
        lateHistory(points, model.versions),
        loggedModels(points, model.versions),
      ]);
      const byRun = Map.groupBy(history.value, (point) => point.runId);
      const value = model.versions.map((version) => {
        const own = byRun.get(version.runId ?? '') ?? [];
        const measured = [...own, ...(logged.value.get(version.version) ?? [])].filter(
          (point) => point.at >= since && point.at <= clock.now() && isAfterTraining(point, version),
        );
        return describe(version, measured, days);
      });
      // Which versions there are and which have late values comes from the mirror: the answer is no younger than that.
      const mirror = points.provenance();
      const ageMs = Math.max(mirror.ageMs ?? 0, history.ageMs, logged.ageMs);
      return { value, ageMs, stale: mirror.stale || history.stale || logged.stale };
    },
  };
}

function parseDays(text: string | undefined): number {
  if (text === undefined) return 30;
  const days = /^\d{1,4}$/.test(text) ? Number(text) : 0;
  if (days < 1 || days > 3650) {
    const constraint = 'must be a whole number from 1 to 3650';
    throw invalid(`days ${constraint}, not ${JSON.stringify(text)}`, { parameter: 'days', constraint, value: text });
  }
  return days;
}

/** Histories of the metrics that have a value after the end of their run; the other runs need not be asked. */
async function lateHistory(points: Points, versions: ModelVersion[]): Promise<Reading<MetricPoint[]>> {
  const runs = versions.flatMap((version) => (version.run && version.run.lateMetrics.length > 0 ? [version.run] : []));
  if (runs.length === 0) return { value: [], ageMs: 0, stale: false };
  const metrics = [...new Set(runs.flatMap((run) => run.lateMetrics))].sort();
  return points.history([...new Set(runs.map((run) => run.runId))].sort(), metrics);
}

/** Values recorded on the logged models (MLflow 3) that versions were registered from. */
async function loggedModels(points: Points, versions: ModelVersion[]): Promise<Reading<Map<string, MetricPoint[]>>> {
  const linked = versions.filter((version) => version.source.startsWith('models:/m-'));
  const readings = await Promise.all(
    linked.map(async (version) => ({
      version,
      reading: await points.loggedModel(version.source.slice('models:/'.length)),
    })),
  );
  return {
    value: new Map(readings.map(({ version, reading }) => [version.version, reading.value])),
    ageMs: Math.max(0, ...readings.map(({ reading }) => reading.ageMs)),
    stale: readings.some(({ reading }) => reading.stale),
  };
}

/** A point of the training run counts only when it came after that run's end. */
function isAfterTraining(point: MetricPoint, version: ModelVersion): boolean {
  if (point.runId !== version.runId) return true;
  // A training run MLflow no longer has cannot tell when it ended.
  const endedAt = version.run?.endedAt ?? null;
  return endedAt !== null && point.at > endedAt;
}

function describe(version: ModelVersion, measured: MetricPoint[], days: number): ModelDrift[number] {
  const head = { version: version.version, stage: version.stage, aliases: version.aliases };
  if (measured.length === 0) {
    return { ...head, metrics_over_time: [], status: 'no_data', reason: whyNothing(version, days) };
  }
  const metrics = new Set(measured.map((point) => point.metric)).size;
  const reason = `${plural(measured.length, 'value')} of ${plural(metrics, 'metric')} measured after training in the last ${plural(days, 'day')}`;
  return { ...head, metrics_over_time: byDay(measured), status: 'not_assessed', reason };
}

function whyNothing(version: ModelVersion, days: number): string {
  if (version.run && version.run.lateMetrics.length > 0)
    return `MLflow has no metric of this version measured after training in the last ${plural(days, 'day')}`;
  return 'MLflow has no metric of this version that was measured after training';
}

/** One row per UTC day with the last value of each metric on it; days without a value are left out. */
function byDay(points: MetricPoint[]): ModelDrift[number]['metrics_over_time'] {
  const rows = new Map<number, Map<string, number | null>>();
  for (const point of [...points].sort((a, b) => a.at - b.at || a.step - b.step)) {
    const day = Math.floor(point.at / dayMs) * dayMs;
    const row = rows.get(day) ?? new Map<string, number | null>();
    rows.set(day, row.set(point.metric, point.value));
  }
  return [...rows].map(([day, values]) => ({ ...Object.fromEntries(values), date: new Date(day).toISOString() }));
}

const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;
