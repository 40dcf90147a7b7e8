import { notFound, unavailable } from '#kernel/errors.ts';
import { normal, seededRandom } from '#kernel/rng.ts';
import type { DriftEvent } from '#services/drift/alerts.ts';
import { createDrift } from '#services/drift/drift.ts';
import { examine } from '#services/drift/examine.ts';
import { buildSnapshot } from '#services/registry/snapshot/snapshot.ts';
import type { MetricPoint, Run } from '#services/registry/sources/source.ts';
import { runRow, versionRow } from './rows.ts';
import { aliasTable, handClock } from './sources.ts';
import { storeIn } from './stores.ts';
import { keptLog, temporaryDirectory } from './tower.ts';

/** Drift over four versions of one model, with metrics defined by the test. */
const day = 86_400_000;
export const clock = handClock(Date.UTC(2026, 10, 20, 12));
export const daysAgo = (days: number, hours = 0) => clock.now() - days * day + hours * 3_600_000;
export const point = (
  metric: string,
  value: number | null,
  at: number,
  runId = 'r1',
  dataset: string | null = null,
): MetricPoint => ({ metric, value, at, step: 0, runId, dataset });

const { models } = await buildSnapshot(
  {
    experiments: [],
    models: [],
    versions: [
      versionRow({ version: '1', runId: 'r1', currentStage: 'Production' }),
      versionRow({ version: '2', runId: 'r2' }),
      versionRow({ version: '3', runId: 'r3', source: 'models:/m-abc' }),
      versionRow({ version: '4' }),
    ],
    runs: [
      runRow({ runId: 'r1', startedAt: daysAgo(50), endedAt: daysAgo(40), lateMetrics: ['accuracy', 'f1'] }),
      runRow({ runId: 'r2', startedAt: daysAgo(5), endedAt: daysAgo(4) }),
      runRow({ runId: 'r3', startedAt: daysAgo(5), endedAt: daysAgo(4) }),
    ],
    loggedModels: [],
    serverVersion: null,
  },
  0,
  aliasTable,
);

export const evaluation = (runId: string, version: string, metrics: Record<string, number>): Run => ({
  ...runRow({ runId, endedAt: daysAgo(2) }),
  metrics,
  name: '',
  params: {},
  tags: { model_name: 'model', model_version: version },
});

export type Given = {
  late?: MetricPoint[];
  logged?: MetricPoint[];
  runs?: Run[];
  noRuns?: boolean;
  monitored?: Set<string>;
};

export function driftOver(given: Given = {}) {
  const { logged = [], runs = [], monitored = new Set(['model\n1']) } = given;
  const asked: unknown[] = [];
  const events: DriftEvent[] = [];
  const store = storeIn(temporaryDirectory());
  const reading = <T>(value: T) => ({ value, ageMs: 0, stale: false });
  const drift = createDrift({
    clock,
    store,
    registry: () => 'default',
    log: keptLog().log,
    monitored: async () => monitored,
    rules: { directions: { higher: new Set(), lower: new Set() }, minChangePct: 2, minChange: 0.01, warningP: 0.05 },
    levels: { warningP: 0.05, driftP: 0.02 },
    examine: (examination) => examine(store, examination),
    evaluationTags: { model: 'model_name', version: 'model_version' },
    enqueue: async (_, made) => void events.push(...made),
    points: {
      provenance: () => ({ ageMs: 0, stale: false }),
      model: async (name) => {
        const model = models.get(name);
        if (!model) throw notFound(`Model ${name} not found`);
        return model;
      },
      history: async (runIds, metrics) => {
        asked.push([runIds, metrics]);
        return reading(given.late ?? []);
      },
      loggedModel: async (id) => {
        asked.push(id);
        return reading(logged);
      },
      taggedRuns: async (tags) => {
        asked.push(tags);
        if (given.noRuns) throw unavailable('MLflow is down');
        return reading(runs);
      },
    },
  });
  const answer = (days?: string) => drift.ofModel('model', days);
  return { asked, events, given, drift, answer, ofModel: async (days?: string) => (await answer(days)).value };
}

/** One value per day starting `from` days ago: `value(i)` with a little noise. */
export const daily = (from: number, value: (i: number) => number, metric = 'accuracy'): MetricPoint[] => {
  const random = seededRandom(11);
  return Array.from({ length: from }, (_, i) => point(metric, value(i) + 0.004 * normal(random), daysAgo(from - i, 1)));
};
