import { decimalNumber, invalidParameter } from '#kernel/query.ts';
import { median } from '#kernel/stats.ts';
import { createYielder } from '#kernel/yield-event-loop.ts';
import { levelsOf, usualStep, widthFor } from '../query/levels.ts';
import { choice, filterOfMetric, spanOf } from '../query/query.ts';
import { dayMs, lowerBound, type Reader, type Series, type Span } from '../storage/reader.ts';
import type { AnomaliesAnswer, AnomaliesQuery, Anomaly } from './analysis-schemas.ts';
import { createDetector, type Detection, warmUpPoints } from './detector.ts';
import { amongPeers, byDeviations, byEsd, minDeviatingShare, type Outlier } from './outliers.ts';

/** Anomalies by the requested method. */

export const methods = ['calibrated', 'zscore', 'esd', 'peers'] as const;

/** Maximum series per request. */
const maxSeries = 100;
/** Warm-up of the detector: this many points, at least a week of days. */
const maxWarmUp = 6_000;
const [minWarmUpMs, maxWarmUpMs] = [8 * dayMs, 35 * dayMs];
/** Maximum points in a batch method, whose time grows with outliers × points. */
const maxEsdPoints = 5_000;

/** @throws TowerError `invalid` */
export async function detectAnomalies(reader: Reader, now: number, query: AnomaliesQuery): Promise<AnomaliesAnswer> {
  const filter = filterOfMetric(query);
  const method = choice(
    'method',
    query.method,
    methods,
    query.threshold_stddevs === undefined ? 'calibrated' : 'zscore',
  );
  const threshold = decimalNumber('threshold_stddevs', query.threshold_stddevs ?? '2.5', 0.1, 100);
  const span = spanOf(query, now + 1);
  const series = await reader.find(filter);
  if (series.length > maxSeries)
    throw invalidParameter(
      'metric',
      `has ${series.length} series; at most ${maxSeries} can be evaluated at once: set resource or label`,
      filter.metric,
    );
  const notes: string[] = [];
  const found: Anomaly[] = [];
  let evaluated = 0;
  if (method === 'peers') {
    found.push(...(await peersApart(reader, series, span, notes)));
    if (notes.length === 0) evaluated = series.length;
  } else
    for (const each of series) {
      const before = notes.length;
      found.push(...(await ofSeries(reader, each, span, method, threshold, notes)));
      // A note says why a series was not evaluated.
      if (notes.length === before) evaluated += 1;
    }
  found.sort((a, b) => (a.timestamp < b.timestamp ? -1 : 1));
  return {
    method,
    threshold: method === 'zscore' ? threshold : 1,
    series: series.length,
    evaluated_series: evaluated,
    anomalies: found,
    start: new Date(span.start).toISOString(),
    end: new Date(span.end).toISOString(),
    notes,
  };
}

/** `warmUp`: points before the span that the detector learns from. */
export async function ofSeries(
  reader: Reader,
  series: Series,
  span: Span,
  method: 'calibrated' | 'zscore' | 'esd',
  threshold: number,
  notes: string[],
  warmUp = maxWarmUp,
): Promise<Anomaly[]> {
  const from = method === 'calibrated' ? span.start - (await learningMs(reader, series, span, warmUp)) : span.start;
  const { times, values } = await reader.points(series.id, { start: from, end: span.end });
  const kept = [...times.keys()].filter((i) => Number.isFinite(values[i]));
  if (kept.length < 3) {
    notes.push(`${nameOf(series)}: too few points (${kept.length}, at least 3 are required)`);
    return [];
  }
  if (method === 'esd' && kept.length > maxEsdPoints) {
    notes.push(
      `${nameOf(series)}: ${kept.length} points are too many for esd (at most ${maxEsdPoints}): use a shorter time range`,
    );
    return [];
  }
  const [at, value] = [kept.map((i) => times[i]!), kept.map((i) => values[i]!)];
  const step = median(at.slice(1).map((time, i) => time - at[i]!));
  const anomaly = (i: number, rest: Pick<Anomaly, 'expected' | 'score' | 'zscore' | 'reason'>): Anomaly => ({
    timestamp: new Date(at[i]!).toISOString(),
    metric: series.metric,
    resource: series.resource,
    labels: series.labels,
    value: value[i]!,
    ...rest,
  });
  if (method === 'calibrated') {
    const first = Math.max(0, lowerBound(at, span.start) - warmUp);
    notes.push(...learningNote(nameOf(series), at.length - first, warmUpPoints(step)));
    return (await alarms(at, value, step, span.start, first)).map(({ index, detection }) =>
      anomaly(index, {
        expected: detection.expected,
        score: detection.score,
        zscore: null,
        reason: inWords(detection, value[index]!),
      }),
    );
  }
  const outliers: Outlier[] = method === 'zscore' ? byDeviations(value, threshold) : await byEsd(at, value, step);
  return outliers.map(({ index, score, expected, zscore }) =>
    anomaly(index, {
      expected,
      score,
      zscore,
      reason:
        method === 'zscore'
          ? `${figure(value[index]!)} is ${figure(Math.abs(zscore))} standard deviations from the mean of the time range, ${figure(expected)}`
          : `${figure(value[index]!)}, expected ${figure(expected)}: ${figure(Math.abs(zscore))} median deviations away, more than chance explains in ${value.length} points`,
    }),
  );
}

/** Start of a span with this many points. */
async function learningMs(reader: Reader, series: Series, span: Span, warmUp: number): Promise<number> {
  const step = (await usualStep(reader, series, span.end)) ?? 0;
  return Math.min(maxWarmUpMs, Math.max(minWarmUpMs, warmUp * step));
}

/** Says that all points are needed for learning. */
const learningNote = (name: string, points: number, needed: number): string[] =>
  points > needed
    ? []
    : [
        `${name}: ${points} points; the detector learns from the first ${needed} (use method=zscore or esd for short series)`,
      ];

async function alarms(at: number[], value: number[], step: number, start: number, first: number) {
  const detector = createDetector(step);
  const yielder = createYielder();
  const found: { index: number; detection: Detection }[] = [];
  for (let index = first; index < at.length; index += 1) {
    if (yielder.due()) await yielder.yieldNow();
    const detection = detector.see(at[index]!, value[index]!);
    if (detection.alarm && at[index]! >= start) found.push({ index, detection });
  }
  return found;
}

function inWords({ channel, expected, rarity }: Detection, value: number): string {
  const rare = rarity >= 6 ? 'less than once in a million points' : `once in ${figure(10 ** rarity)} points`;
  const usual = expected === null ? '' : `, expected ${figure(expected)}`;
  const what = {
    level: `${figure(value)}${usual} at this time of day:`,
    change: `jump to ${figure(value)}${usual}:`,
    shift: `the level of the last points has shifted, now ${figure(value)}${usual}:`,
    volatility: `the variance of the last points has changed, now ${figure(value)}${usual}:`,
  }[channel];
  return `${what} ${rare}`;
}

const figure = (value: number): string => String(Number(value.toPrecision(3)));
const nameOf = ({ metric, resource, labels }: Series): string => {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  return `${metric}${resource === '' ? '' : ` of ${resource}`}${pairs.length === 0 ? '' : ` {${pairs.join(', ')}}`}`;
};

async function peersApart(reader: Reader, series: Series[], span: Span, notes: string[]): Promise<Anomaly[]> {
  if (series.length < 5) {
    notes.push(`${series.length} series are too few for a comparison: at least five are required`);
    return [];
  }
  const steps = await Promise.all(series.map((each) => usualStep(reader, each, span.end)));
  const width = widthFor(span, 300, Math.max(...steps.map((step) => step ?? 0)));
  const columns: Map<number, number>[] = [];
  for (const each of series)
    columns.push(new Map((await levelsOf(reader, [each], span, width)).map(({ at, value }) => [at, value])));
  const moments = [...new Set(columns.flatMap((column) => [...column.keys()]))].sort((a, b) => a - b);
  const rows = moments.map((at) => columns.map((column) => column.get(at) ?? null));
  return amongPeers(rows).map(({ peer, share }) => {
    const { metric, resource, labels } = series[peer]!;
    const [at, value] = [...columns[peer]!].at(-1)!;
    const others = median(rows.at(moments.indexOf(at))!.filter((other) => other !== null));
    return {
      timestamp: new Date(at).toISOString(),
      metric,
      resource,
      labels,
      value,
      expected: others,
      score: share / minDeviatingShare,
      zscore: null,
      reason: `differs from its peers for ${Math.round(100 * share)} % of the time: ${figure(value)}, peers ${figure(others)}`,
    };
  });
}
