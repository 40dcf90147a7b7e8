import type { Reading } from '#kernel/answers.ts';
import type { Clock } from '#kernel/clock.ts';
import type { Log } from '#kernel/log.ts';
import { countOr } from '#kernel/query.ts';
import { createYielder } from '#kernel/yield-event-loop.ts';
import type { ModelVersion, RegisteredModel } from '#services/registry/snapshot/snapshot.ts';
import type { Store, Transaction } from '#store/store.ts';
import { type DriftEvent, recordAlerts } from './alerts.ts';
import { assessDistribution } from './assess-distribution.ts';
import { assessMetric, type MetricRules } from './assess-metric.ts';
import type { BaselineInfo, BaselineRequest, ObservationsRequest, ObservationsTaken } from './observation-schemas.ts';
import {
  type Baseline,
  baselineOf,
  createObservations,
  type Observations,
  type Posted,
  type Target,
} from './observations.ts';
import { collectPoints, type EvaluationTags, type Measured, type Points } from './points.ts';
import type { Assessment, DriftOverview, ModelDrift, VersionDrift } from './schemas.ts';
import { driftStatuses } from './schemas.ts';
import { type Draft, finish, type Levels, worstStatus } from './verdict.ts';
import { requireVersion } from './version.ts';

export type Drift = {
  /**
   * Each version's performance after training: values of the last `days` days (1..3650, default 30) by UTC day, and a
   * verdict from all values. Values within the training run are a learning curve and do not count. Gaps are not filled.
   * @throws `invalid` for days, `not_found` for the model, `unavailable` if MLflow is down and nothing is cached
   */
  ofModel(name: string, days: string | undefined): Promise<Reading<ModelDrift>>;
  /** Stores a batch completely or not at all. @throws `not_found`, `invalid` */
  observe(name: string, version: string, request: ObservationsRequest): Promise<ObservationsTaken>;
  /** @throws `not_found` */
  pin(name: string, version: string, request: BaselineRequest, by: string): Promise<BaselineInfo>;
  unpin(name: string, version: string, subject: string): Promise<void>;
  baselines(name: string, version: string): Promise<BaselineInfo[]>;
  /**
   * Background step: assesses all monitored versions together, so that the correction for multiple tests covers them
   * all.
   */
  sweep(signal: AbortSignal): Promise<void>;
  /** Result of the last sweep. */
  overview(): Promise<DriftOverview>;
  /** Deletes observations older than this time. */
  prune(before: number): Promise<void>;
};

export type DriftOptions = {
  points: Points;
  /** Name under which its observations are stored. */
  registry: () => string;
  monitored: () => Promise<Set<string>>;
  store: Store;
  clock: Clock;
  log: Log;
  rules: MetricRules;
  levels: Levels;
  evaluationTags: EvaluationTags;
  /** Enqueues notifications of changed verdicts, in the transaction that records them. */
  enqueue: (transaction: Transaction, events: DriftEvent[]) => Promise<void>;
};

/** A version with its assessments; the drafts are finished once the number of tests is known. */
type Examination = {
  version: ModelVersion;
  measured: Measured[];
  drafts: Draft[];
  /** Posted observations that were too many to be read. */
  omitted: number;
  readError: string | null;
};
/** The last sweep's p-values of a version, which count as other tests in later requests. */
type SweepResult = { pValues: number[]; entry: DriftOverview['versions'][number]; isPartial: boolean };

const dayMs = 86_400_000;
const maxPoints = 2000;

export function createDrift(options: DriftOptions): Drift {
  const { points, registry, store, clock } = options;
  const observations = createObservations({ store, clock });
  const target = async (name: string, version: string): Promise<Target> => {
    requireVersion(await points.model(name), version);
    return { registry: registry(), name, version };
  };
  const examine: Examine = (model, versions) => examineVersions(options, observations, registry(), model, versions);
  return {
    ...assessing(options, examine),
    observe: async (name, version, request) => observations.add(await target(name, version), request.observations),
    pin: async (name, version, request, by) => observations.pin(await target(name, version), request, by),
    unpin: async (name, version, subject) => observations.unpin(await target(name, version), subject),
    baselines: async (name, version) => observations.baselines(await target(name, version)),
    prune: (before) => observations.prune(before),
  };
}

type Examine = (model: RegisteredModel, versions: ModelVersion[]) => Promise<Reading<Examination[]>>;

function assessing(options: DriftOptions, examine: Examine): Pick<Drift, 'ofModel' | 'sweep' | 'overview'> {
  const { points, clock, levels } = options;
  let swept = new Map<string, SweepResult>();
  let sweptAt: number | null = null;
  return {
    ofModel: async (name, daysText) => {
      const days = countOr('days', daysText, 30, 3650);
      const model = await points.model(name);
      const { value: examinations, ...reading } = await examine(model, model.versions);
      const own = new Set(examinations.map(({ version }) => keyOf(version)));
      const others = [...swept].flatMap(([key, { pValues }]) => (own.has(key) ? [] : pValues));
      const since = clock.now() - days * dayMs;
      const value = assessed(examinations, others, levels).map(({ examination, assessment }) =>
        describe(examination, assessment, since, clock.now()),
      );
      return { ...reading, value };
    },
    sweep: async (signal) => {
      const keys = await options.monitored();
      const found = assessed(await sweepMonitored(options, keys, examine, signal), [], levels);
      swept = new Map(
        found.map(({ examination: { version, drafts, readError }, assessment }) => {
          const entry = { name: version.name, version: version.version, ...conclude(assessment, readError) };
          const pValues = drafts.flatMap((draft) => draft.assessment.p ?? []);
          return [keyOf(version), { entry, pValues, isPartial: readError !== null }];
        }),
      );
      sweptAt = clock.now();
      const verdicts = [...swept.values()].map(({ entry, isPartial }) => ({ ...entry, isPartial }));
      await recordAlerts(options, verdicts, keys);
    },
    overview: async () => {
      const monitored = await options.monitored();
      const versions = [...swept.values()].map(({ entry }) => entry);
      const count = (status: string) => versions.filter((item) => item.status === status).length;
      return {
        assessed_at: sweptAt === null ? null : new Date(sweptAt).toISOString(),
        not_assessed: [...monitored].filter((key) => !swept.has(key)).length,
        counts: Object.fromEntries(driftStatuses.map((status) => [status, count(status)])) as DriftOverview['counts'],
        versions: versions.sort((a, b) => driftStatuses.indexOf(b.status) - driftStatuses.indexOf(a.status)),
      };
    },
  };
}

const keyOf = ({ name, version }: ModelVersion): string => `${name}\n${version}`;

/** Finishes the drafts of several versions together. */
function assessed(
  examinations: Examination[],
  others: number[],
  levels: Levels,
): { examination: Examination; assessment: Assessment[] }[] {
  const finished = finish(
    examinations.flatMap((item) => item.drafts),
    others,
    levels,
  );
  let from = 0;
  return examinations.map((examination) => {
    const assessment = finished.slice(from, from + examination.drafts.length);
    from += examination.drafts.length;
    return { examination, assessment };
  });
}

async function sweepMonitored(
  { points, log }: DriftOptions,
  wanted: ReadonlySet<string>,
  examine: Examine,
  signal: AbortSignal,
): Promise<Examination[]> {
  const found: Examination[] = [];
  const names = new Set([...wanted].map((key) => key.slice(0, key.lastIndexOf('\n'))));
  for (const name of names) {
    signal.throwIfAborted();
    // Versions deleted in MLflow are skipped.
    const model = await points.model(name).catch(() => null);
    const versions = model?.versions.filter((item) => wanted.has(`${name}\n${item.version}`)) ?? [];
    if (!model || versions.length === 0) continue;
    try {
      found.push(...(await examine(model, versions)).value);
    } catch (error) {
      // A version that fails must not hide the others.
      log.warn({ err: error, model: name }, 'failed to assess the drift of a model');
    }
  }
  return found;
}

async function examineVersions(
  { points, rules, evaluationTags, clock }: DriftOptions,
  observations: Observations,
  registry: string,
  model: RegisteredModel,
  versions: ModelVersion[],
): Promise<Reading<Examination[]>> {
  const targetOf = (version: string): Target => ({ registry, name: model.name, version });
  const posted = new Map<string, Awaited<ReturnType<Observations['of']>>>();
  const pinned = new Map<string, Baseline[]>();
  const { readError, ...reading } = await collectPoints(points, model, versions, evaluationTags, async (version) => {
    const baselines = (await observations.baselines(targetOf(version))).map(baselineOf);
    const items = await observations.of(targetOf(version), baselines);
    pinned.set(version, baselines);
    posted.set(version, items);
    return items.posted;
  });
  const examinations: Examination[] = [];
  for (const version of versions) {
    // Clients do log future timestamps.
    const measured = (reading.value.get(version.version) ?? []).filter((point) => point.at <= clock.now());
    const { posted: items = [], omitted = 0 } = posted.get(version.version) ?? {};
    const drafts = await draftsOf(measured, items, pinned.get(version.version) ?? [], rules);
    examinations.push({ version, measured, readError, omitted, drafts });
  }
  return { ...reading, value: examinations };
}

/** A draft per metric and dataset, and per feature and dataset; yields to the event loop in between. */
async function draftsOf(
  measured: Measured[],
  posted: Posted[],
  pinned: Baseline[],
  rules: MetricRules,
): Promise<Draft[]> {
  const yielder = createYielder();
  const drafts: Draft[] = [];
  const baselineFor = (subject: string) => pinned.find((item) => item.subject === subject) ?? null;
  const evaluated = measured.filter((point) => point.phase !== 'training');
  for (const series of Map.groupBy(evaluated, (point) => JSON.stringify([point.metric, point.dataset])).values()) {
    if (yielder.due()) await yielder.yieldNow();
    const [first] = series;
    if (first) drafts.push(assessMetric(first.metric, first.dataset, series, baselineFor(first.metric), rules));
  }
  const items = posted.flatMap((item) => (item.kind === 'value' ? [] : [item]));
  for (const list of Map.groupBy(items, (item) => JSON.stringify([item.subject, item.dataset])).values()) {
    if (yielder.due()) await yielder.yieldNow();
    const [first] = list;
    if (first)
      drafts.push(assessDistribution(first.subject, first.dataset, list, baselineFor(first.subject), rules.warningP));
  }
  return drafts;
}

function describe(
  { version, measured, readError, omitted }: Examination,
  assessment: Assessment[],
  since: number,
  now: number,
): VersionDrift {
  const shown = measured.filter((point) => point.at >= since && point.at <= now).sort((a, b) => a.at - b.at);
  return {
    version: version.version,
    stage: version.stage,
    metrics_over_time: rowsOf(shown.filter((point) => point.phase !== 'training')),
    aliases: version.aliases,
    ...conclude(assessment, readError),
    assessment,
    observations_omitted: omitted,
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

/** The worst status of the assessments, with their texts. */
function conclude(
  assessment: Assessment[],
  readError: string | null,
): { status: VersionDrift['status']; reason: string } {
  const but = readError === null ? '' : `; but ${readError}`;
  if (assessment.length === 0)
    return { status: 'no_data', reason: `nothing was measured for this version after its training${but}` };
  const status = worstStatus(assessment.map((item) => item.status));
  const reasons = assessment.filter((item) => item.status === status).map((item) => item.reason);
  const [first = ''] = reasons;
  return { status, reason: `${first}${reasons.length > 1 ? `; and ${reasons.length - 1} more` : ''}${but}` };
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
