import { wholeNumber } from '#kernel/query.ts';
import type { Reader, Series } from '../storage/reader.ts';
import { addValue, emptySummary, mergeSummary, type Summary } from '../storage/summary.ts';
import type { MetricsSummaryAnswer, MetricsSummaryQuery } from './analysis-schemas.ts';
import { ofSeries } from './anomalies.ts';
import { calculateTrend } from './metric-forecast.ts';

/** Summary of all recent metrics in one answer. */

/** Maximum series that are included. */
const maxSeries = 2_000;
/** Maximum series that are scored, and points before them. */
const maxEvaluatedSeries = 50;
const warmUp = 2_000;

type Seen = { series: Series; summary: Summary; lastAt: number };

/** @throws TowerError `invalid` */
export async function metricsSummary(
  reader: Reader,
  now: number,
  query: MetricsSummaryQuery,
): Promise<MetricsSummaryAnswer> {
  const seconds = wholeNumber('time_window', query.time_window ?? '3600', 60, 7 * 86_400);
  const span = { start: now - seconds * 1000, end: now + 1 };
  const seen: Seen[] = [];
  const recent = await reader.recent(span, maxSeries);
  for (const series of recent.series) {
    const { times, values } = await reader.points(series.id, span);
    const summary = emptySummary();
    for (const value of values) addValue(summary, value);
    if (summary.count > 0) seen.push({ series, summary, lastAt: times.at(-1)! });
  }
  seen.sort((a, b) => b.lastAt - a.lastAt);
  const notes: string[] = [];
  if (recent.total > recent.series.length)
    notes.push(`${recent.total} series may have had points; the ${maxSeries} most recent are included`);
  const evaluated = seen.slice(0, maxEvaluatedSeries);
  if (seen.length > evaluated.length)
    notes.push(`${seen.length} series had points; the ${maxEvaluatedSeries} most recent were evaluated`);
  const anomalies: MetricsSummaryAnswer['anomalies'] = [];
  let [sound, able] = [0, 0];
  for (const { series } of evaluated) {
    const before = notes.length;
    const found = await ofSeries(reader, series, span, 'calibrated', 0, notes, warmUp);
    if (notes.length > before) continue;
    able += 1;
    if (found.length === 0) sound += 1;
    anomalies.push(...found);
  }
  const metrics = [...Map.groupBy(seen, ({ series }) => series.metric)].map(([metric, members]) =>
    figuresOf(metric, members),
  );
  const trends: MetricsSummaryAnswer['trends'] = {};
  for (const { metric } of metrics.slice(0, maxEvaluatedSeries)) {
    const { direction, slope_per_day } = await calculateTrend(reader, now, { metric, time_window: String(seconds) });
    trends[metric] = { direction, slope_per_day };
  }
  return {
    summary: inWords(metrics.length, seen.length, anomalies.length, able - sound, seconds),
    metrics,
    health_score: able > 0 ? (100 * sound) / able : null,
    anomalies: anomalies.sort((a, b) => (a.timestamp < b.timestamp ? 1 : -1)),
    trends,
    time_window: seconds,
    notes,
  };
}

function figuresOf(metric: string, members: Seen[]): MetricsSummaryAnswer['metrics'][number] {
  const all = emptySummary();
  for (const { summary } of members) mergeSummary(all, summary);
  return { metric, series: members.length, points: all.count, mean: all.sum / all.count, min: all.min, max: all.max };
}

const counted = (count: number, one: string, more: string): string => `${count} ${count === 1 ? one : more}`;

function inWords(metrics: number, series: number, anomalies: number, affected: number, seconds: number): string {
  if (series === 0) return `no points were recorded in the last ${seconds} s`;
  const what = `${counted(metrics, 'metric', 'metrics')} of ${counted(series, 'series', 'series')} in the last ${seconds} s`;
  return anomalies === 0
    ? `${what}, no anomalies`
    : `${what}, ${counted(anomalies, 'anomaly', 'anomalies')} in ${affected} of them`;
}
