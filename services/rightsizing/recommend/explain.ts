import { isoTime } from '#kernel/clock.ts';
import type { TriedFor } from '#services/acquisition/experiments/load-points.ts';
import type { WorkloadState } from '#services/acquisition/prometheus/workload-state.ts';
import type { Planned } from '../capacity/capacity.ts';
import { formatQuantity } from '../quantity.ts';
import type { SizeAnswer, SizeRequest } from '../schemas.ts';
import { own } from '../strategies/names.ts';
import { day, type Resource } from '../usage.ts';
import type { Advices } from './advise.ts';
import type { Bounded } from './bounds.ts';

/** Explanations of recommendations. */

type Container = SizeAnswer['containers'][number];

/** Minimum history in hours, by horizon. */
export const fewestHours = { '24h': 24, '1h': 3 };
/** A full day of samples lacks at most its last hour: the first step of a rate, and the latest scrape. */
export const isLong = (hours: number, horizon: '24h' | '1h'): boolean => hours >= fewestHours[horizon] * 0.95;

const boundTexts: Record<Bounded['by'], string> = {
  usage: '',
  nothing: '',
  floor: 'raised to the floor',
  cap: 'lowered to the cap',
  limit_range: 'set to what a LimitRange of the namespace allows',
  quota: 'lowered to what quotas of the namespace leave',
  node: 'lowered to what the largest node has',
  oom: 'raised above the limit at which a pod was killed',
  heap: 'raised to what its JVM may fill',
};

export function explain(
  request: SizeRequest,
  resource: Resource,
  { advised: [chosen], known, peak }: Advices,
  enough: boolean,
  bounded: Bounded | null,
): string {
  if (known.samples === 0) return 'Prometheus has no sample of it';
  const isOwn = chosen?.strategy === own;
  const seen = `${isOwn ? 'the busiest of ' : ''}${known.pods} pod${known.pods === 1 ? '' : 's'}, ${known.samples} samples from ${isoTime(known.firstMs)} to ${isoTime(known.lastMs)}`;
  if (!enough) return `${seen} are ${known.hours.toFixed(1)} hours; ${fewestHours[request.horizon]} are needed`;
  if (!chosen || chosen.request === null) return `${seen}; too few for ${request.strategy}`;
  const percent = (share: number) => `${Number((100 * share).toPrecision(3))} %`;
  const promise =
    resource === 'cpu'
      ? `${percent(1 - request.violation)} of the samples of the next ${request.horizon} are to lie at or below it`
      : `memory goes above it in ${percent(request.memory_violation)} of all stretches of ${request.horizon} at most`;
  const blend = chosen.experts
    .slice(0, 3)
    .map(({ name, weight, says }) => `${name} (${formatQuantity(says, resource)}, ${Math.round(100 * weight)} %)`);
  const rule =
    chosen.about === null
      ? `${promise}: ${blend.join(', ')}, times ${chosen.factor!.toFixed(2)}`
      : `by the rule of ${chosen.strategy} (${chosen.about})`;
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
  const cost = value < needed ? ': the stated violation is not kept' : '';
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
  return `by experiments: each of ${replicas} replicas is to bear ${Number(load.toPrecision(3))} requests/s${part}: ${formatQuantity(unbounded, resource)}${bound}`;
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
    ...state.unknown.map((name) => `kube-state-metrics tells no ${name} of it`),
    ...(others.length > 0
      ? [`${others.join(', ')}: injected, so not in what is to be applied; set it where it is injected from`]
      : []),
    ...(native.length > 0 ? [`${native.join(', ')}: an init container, so not in what is to be applied`] : []),
    ...(heaps.length > 0
      ? [
          `${heaps.join(', ')}: less memory would end it before its heap is full; where that is a share of the limit (MaxRAMPercentage), set -Xmx to go lower`,
        ]
      : []),
    ...(state.hpa && state.hpa.metrics.length === 0
      ? [`the autoscaler ${state.hpa.name} scales by something kube-state-metrics does not tell`]
      : []),
    ...elsewhere.map(
      ({ metric, type }) =>
        `the autoscaler ${state.hpa!.name} scales by ${metric} (${type}), which does not move with requests`,
    ),
    ...censored.map(
      ({ container }) => `${container} used nearly all its CPU limit allows: it may need more than was seen`,
    ),
    ...spiky.map(
      ({ container, startup_peak_cores }) =>
        `${container} takes ${formatQuantity(startup_peak_cores!, 'cpu')} cores while it starts, more than twice the request: give it a CPU boost at start or no CPU limit, or it will start slowly`,
    ),
  ];
}

/** Applying a recommendation does not change replicas. */
export const replicaNotes = (planned: Planned | null, current: number | null): string[] =>
  planned && current !== null && planned.replicas !== current
    ? [`this size is for ${planned.replicas} replicas, and there are ${current}: the outputs set both`]
    : [];

/** Warnings about impossible samples and incomplete results. */
export const doubtNotes = (parts: readonly { impossible: number }[], warnings: readonly string[]): string[] => {
  const impossible = parts.reduce((total, part) => total + part.impossible, 0);
  return [
    ...(impossible > 0 ? [`${impossible} samples are more than any node has, and were left out`] : []),
    ...warnings.map((warning) => `Prometheus warns that an answer may not be whole: ${warning}`),
  ];
};

/** Warning if the history was shortened. */
export const shorterNotes = (wanted: { startMs: number }, looked: { startMs: number; endMs: number }): string[] =>
  looked.startMs === wanted.startMs
    ? []
    : [
        `only the last ${Number(((looked.endMs - looked.startMs) / day).toPrecision(2))} days were looked at: it has too many pods for more`,
      ];

export function triedNotes(tried: readonly TriedFor[]): string[] {
  const latest = isoTime(Math.max(...tried.map(({ toMs }) => toMs)));
  return tried.length === 0
    ? []
    : [
        `load experiments ran in its namespace, the latest until ${latest}: what was used and asked meanwhile is left out`,
      ];
}

/** Whether an autoscaler's metric is a percentage of requests. */
export const isShare = (metric: string, type: string): boolean =>
  type === 'utilization' && (metric === 'cpu' || metric === 'memory');

export function whyNot({ history_days }: SizeRequest, containers: Container[], [warning]: readonly string[]): string {
  const why =
    containers.length === 0
      ? `Prometheus knows no container of it in the last ${history_days} days`
      : containers
          .map(({ container, cpu, memory }) => `${container}: CPU ${cpu.explanation}; memory ${memory.explanation}`)
          .join('; ');
  // With warnings, missing data cannot be reported as absent.
  return warning === undefined ? why : `${why}; but it warns that an answer may not be whole: ${warning}`;
}
