import type { Reading } from '#kernel/answers.ts';
import type { Clock } from '#kernel/clock.ts';
import { TowerError } from '#kernel/errors.ts';
import type { Log } from '#kernel/log.ts';
import { countOr } from '#kernel/query.ts';
import type { ModelVersion, RegisteredModel } from '#services/registry/snapshot/snapshot.ts';
import type { Store, Transaction } from '#store/store.ts';
import { type DriftEvent, recordAlerts } from './alerts.ts';
import type { MetricRules } from './assess-metric.ts';
import type { Examined } from './examine.ts';
import type { Examine } from './examine-in-thread.ts';
import type { BaselineInfo, BaselineRequest, ObservationsRequest, ObservationsTaken } from './observation-schemas.ts';
import { createObservations, type Observations } from './observations.ts';
import { collectPoints, type EvaluationTags, type Points } from './points.ts';
import { baselineOf, type Target } from './posted.ts';
import type { Assessment, DriftOverview, ModelDrift, VersionDrift } from './schemas.ts';
import { driftStatuses } from './schemas.ts';
import { finish, type Levels, worstStatus } from './verdict.ts';
import { requireVersion } from './version.ts';

export type Drift = {
  /**
   * Each version's performance after training: values of the last `days` days (1..3650, default 30) by UTC day, and a
   * verdict from all values. Values within the training run are a learning curve and do not count. Gaps are not filled.
   * @throws `invalid` for days, `not_found` for the model, `unavailable` if MLflow is down and nothing is cached
   */
  ofModel(name: string, days: string | undefined, disconnected?: AbortSignal): Promise<Reading<ModelDrift>>;
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
  examine: Examine;
  /** Enqueues notifications of changed verdicts, in the transaction that records them. */
  enqueue: (transaction: Transaction, events: DriftEvent[]) => Promise<void>;
};

/** A version with its assessments; the drafts are finished once the number of tests is known. */
type Examination = Examined & { version: ModelVersion; readError: string | null };
type ExaminedModel = {
  model: RegisteredModel;
  versions: ModelVersion[];
  /** Start of the values that are listed; null = none are. */
  since: number | null;
  signal?: AbortSignal | undefined;
};
/** The last sweep's p-values of a version, which count as other tests in later requests. */
type SweepResult = { pValues: number[]; entry: DriftOverview['versions'][number]; isPartial: boolean };

const dayMs = 86_400_000;

export function createDrift(options: DriftOptions): Drift {
  const { points, registry, store, clock } = options;
  const observations = createObservations({ store, clock });
  const target = async (name: string, version: string): Promise<Target> => {
    requireVersion(await points.model(name), version);
    return { registry: registry(), name, version };
  };
  const examineOne: ExamineOne = (model) => examineVersions(options, observations, registry(), model);
  return {
    ...assessing(options, examineOne),
    observe: async (name, version, request) => observations.add(await target(name, version), request.observations),
    pin: async (name, version, request, by) => observations.pin(await target(name, version), request, by),
    unpin: async (name, version, subject) => observations.unpin(await target(name, version), subject),
    baselines: async (name, version) => observations.baselines(await target(name, version)),
    prune: (before) => observations.prune(before),
  };
}

type ExamineOne = (examined: ExaminedModel) => Promise<Reading<Examination[]>>;

function assessing(options: DriftOptions, examineOne: ExamineOne): Pick<Drift, 'ofModel' | 'sweep' | 'overview'> {
  const { points, clock, levels } = options;
  let swept = new Map<string, SweepResult>();
  let sweptAt: number | null = null;
  return {
    ofModel: async (name, daysText, signal) => {
      const days = countOr('days', daysText, 30, 3650);
      const model = await points.model(name);
      const since = clock.now() - days * dayMs;
      const found = await examineOne({ model, versions: model.versions, since, signal });
      const { value: examinations, ...reading } = found;
      const own = new Set(examinations.map(({ version }) => keyOf(version)));
      const others = [...swept].flatMap(([key, { pValues }]) => (own.has(key) ? [] : pValues));
      const value = assessed(examinations, others, levels).map(({ examination, assessment }) =>
        describe(examination, assessment),
      );
      return { ...reading, value };
    },
    sweep: async (signal) => {
      const keys = await options.monitored();
      const found = assessed(await sweepMonitored(options, keys, examineOne, signal), [], levels);
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
  examineOne: ExamineOne,
  signal: AbortSignal,
): Promise<Examination[]> {
  const found: Examination[] = [];
  const names = new Set([...wanted].map((key) => key.slice(0, key.lastIndexOf('\n'))));
  for (const name of names) {
    signal.throwIfAborted();
    const model = await points.model(name).catch((error: unknown) => {
      // Versions deleted in MLflow are skipped; without the registry the last verdicts stand.
      if (error instanceof TowerError && error.code === 'not_found') return null;
      throw error;
    });
    const versions = model?.versions.filter((item) => wanted.has(`${name}\n${item.version}`)) ?? [];
    if (!model || versions.length === 0) continue;
    try {
      found.push(...(await examineOne({ model, versions, since: null, signal })).value);
    } catch (error) {
      // A version that fails must not hide the others.
      log.warn({ err: error, model: name }, 'failed to assess the drift of a model');
    }
  }
  return found;
}

async function examineVersions(
  { points, rules, evaluationTags, clock, examine }: DriftOptions,
  observations: Observations,
  registry: string,
  { model, versions, since, signal }: ExaminedModel,
): Promise<Reading<Examination[]>> {
  const { readError, ...reading } = await collectPoints(points, model, versions, evaluationTags);
  const inputs = [];
  for (const { version } of versions) {
    const baselines = (await observations.baselines({ registry, name: model.name, version })).map(baselineOf);
    inputs.push({ version, baselines, measured: reading.value.get(version) ?? [] });
  }
  const examination = { registry, name: model.name, versions: inputs, rules, now: clock.now(), since };
  const examined = await examine(examination, signal);
  return { ...reading, value: versions.map((version, i) => ({ version, readError, ...examined[i]! })) };
}

const describe = (
  { version, readError, omitted, points, metrics_over_time }: Examination,
  assessment: Assessment[],
): VersionDrift => ({
  version: version.version,
  stage: version.stage,
  metrics_over_time,
  aliases: version.aliases,
  ...conclude(assessment, readError),
  assessment,
  observations_omitted: omitted,
  points,
});

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
