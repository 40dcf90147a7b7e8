import type { Reading } from '#kernel/answers.ts';
import { TowerError } from '#kernel/errors.ts';
import type { ModelVersion, RegisteredModel } from '#services/registry/snapshot/snapshot.ts';
import type { MetricPoint, Run } from '#services/registry/sources/source.ts';
import type { Posted } from './posted.ts';

/** A value and its source. Only values measured after training count for drift. */
export type Measured = {
  metric: string;
  value: number | null;
  at: number;
  step: number;
  source: 'logged_model' | 'evaluation_run' | 'own_run' | 'posted';
  phase: 'training' | 'evaluation' | 'production';
  runId: string | null;
  dataset: string | null;
};

/** Dependencies on the registry. */
export type Points = {
  provenance(): { ageMs: number | null; stale: boolean };
  model(name: string): Promise<RegisteredModel>;
  history(runIds: string[], metrics: string[]): Promise<Reading<MetricPoint[]>>;
  loggedModel(modelId: string): Promise<Reading<MetricPoint[]>>;
  taggedRuns(tags: Record<string, string>): Promise<Reading<Run[]> | null>;
};

/** Tags with which a run names the version it evaluated. */
export type EvaluationTags = { model: string; version: string };

/**
 * Every value in MLflow of some versions of a model, by version, from three sources: the logged model that the version
 * was registered from (MLflow 3), runs that evaluate it (by their tags), and its own run after that run's end.
 */
export async function collectPoints(
  points: Points,
  model: RegisteredModel,
  versions: ModelVersion[],
  tags: EvaluationTags,
): Promise<Reading<Map<string, Measured[]>> & { readError: string | null }> {
  const [logged, evaluations, late] = await Promise.all([
    loggedModels(points, versions),
    evaluationRuns(points, { [tags.model]: model.name }),
    lateHistory(points, versions),
  ]);
  const lateByRun = Map.groupBy(late.value, (point) => point.runId);
  const found = new Map<string, Measured[]>();
  for (const version of versions) {
    const evaluationRuns =
      evaluations?.value.filter((run) => run.tags[tags.version] === version.version && run.runId !== version.runId) ??
      [];
    found.set(version.version, [
      ...(logged.value.get(version.version) ?? []).map((point) => measured(point, 'logged_model', version)),
      ...evaluationRuns.flatMap(evaluationPoints),
      ...(lateByRun.get(version.runId ?? '') ?? [])
        .map((point) => measured(point, 'own_run', version))
        .filter((point) => point.phase !== 'training'),
    ]);
  }
  // The mirror tells which versions exist and which have late values: the answer is no fresher than that.
  const readings = [logged, late, ...(evaluations ? [evaluations] : [])];
  const mirror = points.provenance();
  return {
    value: found,
    ageMs: Math.max(mirror.ageMs ?? 0, ...readings.map((reading) => reading.ageMs)),
    stale: mirror.stale || readings.some((reading) => reading.stale),
    readError: evaluations && 'readError' in evaluations ? evaluations.readError : null,
  };
}

/** Most versions have no logged model: an error of MLflow is reported in the answer and does not stop the rest. */
const evaluationRuns = (
  points: Points,
  tags: Record<string, string>,
): Promise<Reading<Run[]> | (Reading<Run[]> & { readError: string }) | null> =>
  points.taggedRuns(tags).catch((error: unknown) => {
    if (error instanceof TowerError && error.code === 'unavailable')
      return {
        value: [],
        ageMs: 0,
        stale: true,
        readError: `failed to read the runs that evaluate it: ${error.message}`,
      };
    throw error;
  });

/** Histories of metrics with a value after the end of their run; other runs are not queried. */
async function lateHistory(points: Points, versions: ModelVersion[]): Promise<Reading<MetricPoint[]>> {
  const runs = versions.flatMap((version) => (version.run && version.run.lateMetrics.length > 0 ? [version.run] : []));
  if (runs.length === 0) return { value: [], ageMs: 0, stale: false };
  const metrics = [...new Set(runs.flatMap((run) => run.lateMetrics))].sort();
  return points.history([...new Set(runs.map((run) => run.runId))].sort(), metrics);
}

async function loggedModels(points: Points, versions: ModelVersion[]): Promise<Reading<Map<string, MetricPoint[]>>> {
  const readings = await Promise.all(
    versions.flatMap((version) => {
      const { modelId } = version;
      return modelId === null ? [] : [points.loggedModel(modelId).then((reading) => ({ version, reading }))];
    }),
  );
  return {
    value: new Map(readings.map(({ version, reading }) => [version.version, reading.value])),
    ageMs: Math.max(0, ...readings.map(({ reading }) => reading.ageMs)),
    stale: readings.some(({ reading }) => reading.stale),
  };
}

/** A value of the training run counts only if it is later than that run's end: late values come from production. */
function measured(point: MetricPoint, source: 'logged_model' | 'own_run', version: ModelVersion): Measured {
  const { runId, ...rest } = point;
  if (runId !== version.runId) return { ...rest, source, phase: 'evaluation', runId: runId || null };
  // A training run that was deleted in MLflow has no known end.
  const endedAt = version.run?.endedAt ?? null;
  return { ...rest, source, phase: endedAt !== null && point.at > endedAt ? 'production' : 'training', runId };
}

/** The last values of a run that evaluated a version, dated by the run's end. */
const evaluationPoints = (run: Run): Measured[] =>
  Object.entries(run.metrics).map(([metric, value]) => ({
    metric,
    value,
    at: run.endedAt ?? run.startedAt ?? 0,
    step: 0,
    source: 'evaluation_run',
    phase: 'evaluation',
    runId: run.runId,
    dataset: null,
  }));

export const postedPoint = (item: Posted): Measured[] =>
  item.kind === 'value'
    ? [
        {
          metric: item.subject,
          value: item.value,
          at: item.at,
          step: 0,
          source: 'posted',
          phase: 'production',
          runId: null,
          dataset: item.dataset,
        },
      ]
    : [];

const dayMs = 86_400_000;

export type Day = { at: number; value: number };

/** The last value of each UTC day, ascending; days without a number are omitted. */
export function byDay(points: readonly Measured[]): Day[] {
  const days = new Map<number, number | null>();
  for (const point of [...points].sort((a, b) => a.at - b.at || a.step - b.step))
    days.set(Math.floor(point.at / dayMs) * dayMs, point.value);
  return [...days].flatMap(([at, value]) => (value === null ? [] : [{ at, value }]));
}
