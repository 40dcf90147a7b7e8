import type { KernelBuild } from '../lstm/kernels.ts';
import { features } from './experiments.ts';
import type { LastWindow, SavedModel } from './model-library.ts';
import { intervalOf, predictNext, probabilityOf, recommendedOf } from './pipeline.ts';
import type { RecommendationAnswer, RecommendationRequest } from './training-schemas.ts';
import { targetColumns } from './windows.ts';

/**
 * A recommendation from one point: its history is taken from the most similar experiment, rescaled to the current
 * level. Without a similar experiment there is no recommendation.
 */
export function recommend(model: SavedModel, current: RecommendationRequest, build: KernelBuild): RecommendationAnswer {
  const { service, trained_at, fitted, endings } = model;
  const nearest = nearestTo(current, endings);
  const common = {
    service_name: service,
    model: { trained_at, fingerprint: model.fingerprint, window: fitted.window },
  };
  if (!nearest || nearest.distance > maxDistance)
    return { ...common, ...abstained(noSimilarExperimentReason(current, nearest)) };
  const beyond = outOfRangeReason(current, model);
  if (beyond) return { ...common, ...abstained(beyond) };
  const { ending, distance } = nearest;
  const predictions = predictNext(windowFor(current, ending), fitted, build);
  const answers = predictions.map(({ predicted, members }, target) => {
    const recommended = recommendedOf(fitted, target, predicted);
    return {
      predicted,
      recommended,
      confidence: probabilityOf(fitted, target, predicted, recommended),
      ...intervalOf(fitted, target, predicted),
      prophet_contribution: members['prophet']!,
      lstm_contribution: members['lstm']!,
      members: fitted.fusion[target]!.map(({ name, weight, left_out }) => ({
        name,
        weight,
        left_out,
        prediction: members[name]!,
      })),
    };
  });
  const [cpu, memory, replicas] = answers as [
    (typeof answers)[number],
    (typeof answers)[number],
    (typeof answers)[number],
  ];
  return {
    ...common,
    status: 'success',
    reason: null,
    recommendations: { cpu_cores: cpu.recommended, memory_bytes: memory.recommended, replicas: replicas.recommended },
    unbuffered: {
      cpu_cores: Math.max(0, cpu.predicted),
      memory_bytes: Math.max(0, memory.predicted),
      replicas: Math.max(0, replicas.predicted),
    },
    buffers: { cpu: fitted.buffers[0]!, memory: fitted.buffers[1]!, replicas: fitted.buffers[2]! },
    confidence: Math.min(...answers.map(({ confidence }) => confidence)),
    targets: { cpu, memory, replicas },
    window_from: {
      experiment: ending.id,
      scenario: ending.scenario,
      replica_count: ending.replicas,
      load_users: ending.users,
      distance,
    },
  };
}

function abstained(reason: string) {
  const nothing = { recommendations: null, unbuffered: null, buffers: null, confidence: null };
  return { ...nothing, status: 'abstained' as const, reason, targets: null, window_from: null };
}

const noSimilarExperimentReason = (
  { replica_count, load_users, scenario }: RecommendationRequest,
  nearest: Near | null,
): string =>
  nearest
    ? `the most similar experiment, ${nearest.ending.id}, is too different from ${replica_count} replicas and ${load_users} users`
    : `no experiment with scenario ${scenario}`;

/** A model does not apply to a service that uses more than twice its maximum in the experiments. */
function outOfRangeReason(current: RecommendationRequest, { fitted }: SavedModel): string | null {
  for (const name of ['cpu_cores_value', 'mem_bytes_value'] as const) {
    const most = fitted.scaling.high[features.indexOf(name)]!;
    if (current[name] > 2 * most)
      return `${name} is ${current[name]}; the maximum in the training experiments was ${most}`;
  }
  return null;
}

type Near = { ending: LastWindow; distance: number };

/** Maximum distance of an experiment, in doublings of replicas and users together. */
const maxDistance = 2;

function nearestTo({ replica_count, load_users, scenario }: RecommendationRequest, endings: LastWindow[]): Near | null {
  const fitting = endings.filter((ending) => scenario === undefined || ending.scenario === scenario);
  const doublings = (a: number, b: number) => Math.abs(Math.log2(a / b));
  const distanceTo = ({ replicas, users }: LastWindow) =>
    doublings(replica_count, replicas) + doublings(load_users + 1, users + 1);
  return (
    fitting.map((ending) => ({ ending, distance: distanceTo(ending) })).sort((a, b) => a.distance - b.distance)[0] ??
    null
  );
}

/** The experiment's last steps with the point as the newest; the prediction keeps its course but not its level. */
function windowFor(current: RecommendationRequest, { rows }: LastWindow): number[][] {
  const given: Record<string, number | undefined> = {
    replica_count_value: current.replica_count,
    ...(current as Record<string, number | undefined>),
  };
  const last = rows.at(-1)!;
  const newest = features.map((feature, column) => given[feature] ?? last[column]!);
  const moved = rows
    .slice(1)
    .map((row) =>
      row.map((value, column) => (targetColumns.includes(column) ? value + newest[column]! - last[column]! : value)),
    );
  return [...moved, newest];
}
