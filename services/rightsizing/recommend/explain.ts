import { isoTime } from '#kernel/clock.ts';
import type { ExperimentWindow } from '#services/acquisition/experiments/load-points.ts';
import type { WorkloadState } from '#services/acquisition/prometheus/workload-state.ts';
import type { Planned } from '../capacity/capacity.ts';
import { formatQuantity } from '../quantity.ts';
import type { SizeAnswer, SizeRequest } from '../schemas.ts';
import { towerStrategy } from '../strategies/names.ts';
import { day, type Resource } from '../usage.ts';
import type { Advice } from './advise.ts';
import type { Bounded } from './bounds.ts';

/** Explanations of recommendations. */

type Container = SizeAnswer['containers'][number];

/** Minimum history in hours, by horizon. */
export const minHours = { '24h': 24, '1h': 3 };
/** A full day of samples lacks at most its last hour: the first step of a rate, and the latest scrape. */
export const hasEnoughHistory = (hours: number, horizon: '24h' | '1h'): boolean => hours >= minHours[horizon] * 0.95;

const boundTexts: Record<Bounded['by'], string> = {
  usage: '',
  nothing: '',
  floor: 'raised to the floor',
  cap: 'lowered to the cap',
  limit_range: 'set to the bound of a LimitRange',
  quota: 'lowered to the remaining quota',
  node: 'lowered to the largest node',
  oom: 'raised above the limit at which a pod was OOM-killed',
  heap: 'raised to the maximum heap of its JVM',
};

export function explain(
  request: SizeRequest,
  resource: Resource,
  { advised: [chosen], known, peak }: Advice,
  enough: boolean,
  bounded: Bounded | null,
): string {
  if (known.samples === 0) return 'Prometheus has no samples';
  const isOwn = chosen?.strategy === towerStrategy;
  const seen = `${isOwn ? 'the busiest of ' : ''}${known.pods} pod${known.pods === 1 ? '' : 's'}, ${known.samples} samples from ${isoTime(known.firstMs)} to ${isoTime(known.lastMs)}`;
  if (!enough)
    return `history has ${known.hours.toFixed(1)} hours, ${minHours[request.horizon]} are required (${seen})`;
  if (!chosen || chosen.request === null) return `${seen}; too few for ${request.strategy}`;
  const percent = (share: number) => `${Number((100 * share).toPrecision(3))} %`;
  const promise =
    resource === 'cpu'
      ? `${percent(1 - request.violation)} of the CPU samples of the next ${request.horizon} are expected to be at most the request`
      : `memory is expected to exceed the request in at most ${percent(request.memory_violation)} of all time ranges of ${request.horizon}`;
  const blend = chosen.experts
    .slice(0, 3)
    .map(({ name, weight, says }) => `${name} (${formatQuantity(says, resource)}, ${Math.round(100 * weight)} %)`);
  const rule =
    chosen.description === null
      ? `${promise}: ${blend.join(', ')}, × ${chosen.factor!.toFixed(2)}${chosen.isLimited ? ', limited to 1.25 × the highest sample, since the history is short' : ''}`
      : `by strategy ${chosen.strategy} (${chosen.description})`;
  const bound = boundText(chosen.request, bounded!, resource);
  return `${rule}; ${seen}, peak ${formatQuantity(peak!, resource)}${bound}`;
}

function boundText(unbounded: number, { value, by, needed, neededBy }: Bounded, resource: Resource): string {
  if (boundTexts[by] === '') return '';
  // A cap matters only if the value was above it.
  const isRaised =
    value > unbounded && boundTexts[neededBy] === '' && (by === 'cap' || by === 'quota' || by === 'node');
  const first = isRaised
    ? `${boundTexts.floor}, which was `
    : neededBy === by || boundTexts[neededBy] === ''
      ? ''
      : `${boundTexts[neededBy]}, ${formatQuantity(needed, resource)}, which was `;
  const cost = value < needed ? ': the stated share is not met' : '';
  return `; ${formatQuantity(unbounded, resource)} was ${first}${boundTexts[by]}, ${formatQuantity(value, resource)}${cost}`;
}

export function explainCapacity(
  { replicas, load }: Planned,
  resource: Resource,
  share: number,
  unbounded: number,
  bounded: Bounded,
): string {
  const part = share < 0.999 ? `, ${Math.round(100 * share)} % of it for this container` : '';
  const bound = boundText(unbounded, bounded, resource);
  return `by experiments: ${Number(load.toPrecision(3))} requests/s for each of ${replicas} replicas${part}: ${formatQuantity(unbounded, resource)}${bound}`;
}

export function notesOf(state: WorkloadState, containers: Container[]): string[] {
  const spiky = containers.filter(
    ({ startup_peak_cores, cpu: { request } }) =>
      startup_peak_cores !== null && request !== null && startup_peak_cores > 2 * request,
  );
  const injected = containers.filter(({ sidecar }) => sidecar).map(({ container }) => container);
  const censored = containers.filter(
    ({ cpu: { peak, current_limit } }) => peak !== null && current_limit !== null && peak >= 0.9 * current_limit,
  );
  const heaps = containers.filter(({ memory: { bound_by } }) => bound_by === 'heap').map(({ container }) => container);
  const native = injected.filter((name) => state.nativeSidecars.includes(name));
  const others = injected.filter((name) => !native.includes(name));
  const elsewhere = (state.hpa?.metrics ?? []).filter(({ metric, type }) => !isShare(metric, type));
  return [
    ...state.unknown.map((name) => `kube-state-metrics has no ${name} of the workload`),
    ...(others.length > 0
      ? [`${others.join(', ')}: injected sidecar, so not part of the outputs; set its resources where it is configured`]
      : []),
    ...(native.length > 0 ? [`${native.join(', ')}: an init container, so not part of the outputs`] : []),
    ...(heaps.length > 0
      ? [
          `${heaps.join(', ')}: with less memory the container would be OOM-killed before its JVM heap is full; to request less, set -Xmx instead of MaxRAMPercentage`,
        ]
      : []),
    ...(state.hpa && state.hpa.metrics.length === 0
      ? [`the autoscaler ${state.hpa.name} scales by a metric that kube-state-metrics does not have`]
      : []),
    ...elsewhere.map(
      ({ metric, type }) =>
        `the autoscaler ${state.hpa!.name} scales by ${metric} (${type}), which does not depend on requests`,
    ),
    ...censored.map(
      ({ container }) => `${container} used nearly all of its CPU limit: it may need more than was measured`,
    ),
    ...spiky.map(
      ({ container, startup_peak_cores }) =>
        `${container} uses ${formatQuantity(startup_peak_cores!, 'cpu')} cores during start-up, more than twice the request: set a CPU startup boost or no CPU limit, or it will start slowly`,
    ),
  ];
}

/** Applying a recommendation does not change replicas. */
export const replicaNotes = (planned: Planned | null, current: number | null): string[] =>
  planned && current !== null && planned.replicas !== current
    ? [`the recommendation is for ${planned.replicas} replicas, there are ${current}: the outputs set both`]
    : [];

/** Warnings about impossible samples and incomplete results. */
export const dataQualityNotes = (parts: readonly { impossible: number }[], warnings: readonly string[]): string[] => {
  const impossible = parts.reduce((total, part) => total + part.impossible, 0);
  return [
    ...(impossible > 0 ? [`excluded ${impossible} implausible samples, above the size of any node`] : []),
    ...warnings.map((warning) => `Prometheus warns that a result may be incomplete: ${warning}`),
  ];
};

/** Warning if the history was shortened. */
export const shortenedHistoryNotes = (
  wanted: { startMs: number },
  used: { startMs: number; endMs: number },
): string[] =>
  used.startMs === wanted.startMs
    ? []
    : [
        `only the last ${Number(((used.endMs - used.startMs) / day).toPrecision(2))} days were used, because of the number of pods`,
      ];

export function experimentWindowNotes(experimentWindows: readonly ExperimentWindow[]): string[] {
  const latest = isoTime(Math.max(...experimentWindows.map(({ toMs }) => toMs)));
  return experimentWindows.length === 0
    ? []
    : [
        `load experiments ran in the namespace, the latest until ${latest}: usage and traffic of that time are excluded`,
      ];
}

/** Whether an autoscaler's metric is a percentage of requests. */
export const isShare = (metric: string, type: string): boolean =>
  type === 'utilization' && (metric === 'cpu' || metric === 'memory');

export function abstentionReason(
  { history_days }: SizeRequest,
  containers: Container[],
  [warning]: readonly string[],
): string {
  const why =
    containers.length === 0
      ? `Prometheus has no container of the workload in the last ${history_days} days`
      : containers
          .map(({ container, cpu, memory }) => `${container}: CPU ${cpu.explanation}; memory ${memory.explanation}`)
          .join('; ');
  // With warnings, missing data cannot be reported as absent.
  return warning === undefined ? why : `${why}; but it warns that a result may be incomplete: ${warning}`;
}
