import { median } from '#kernel/stats.ts';
import type { Level } from '../analysis/trend.ts';
import { dayMs, floorTo, hourMs, type Reader, type Series, type Span } from '../storage/reader.ts';
import { emptySummary, mergeSummary } from '../storage/summary.ts';

/** Means of series over even steps, the input of trends and forecasts. */

const seconds = [1, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400];
/** Steps that divide a day, up to a whole day. */
const widths = seconds.map((second) => second * 1000);

/** The smallest step that gives at most this many levels and is no smaller than the interval of the points. */
export const widthFor = (span: Span, most: number, usualStep: number): number =>
  widths.find((width) => width >= usualStep * 0.75 && (span.end - span.start) / width <= most) ?? 7 * dayMs;

/** Median interval of the newest points of a series; null for fewer than three. */
export async function usualStep(reader: Reader, series: Series, end: number): Promise<number | null> {
  const { points } = await reader.newest([series], { start: end - 35 * dayMs, end }, 200);
  const steps = points.slice(1).map(({ at }, i) => points[i]!.at - at);
  return steps.length < 2 ? null : median(steps);
}

/** Combined levels of all these series; steps without points are omitted. */
export async function levelsOf(reader: Reader, members: Series[], span: Span, width: number): Promise<Level[]> {
  const first = floorTo(span.start, width);
  const spans = Array.from({ length: Math.ceil((span.end - first) / width) }, (_, i) => ({
    start: first + i * width,
    end: first + (i + 1) * width,
  }));
  const all = spans.map(emptySummary);
  for (const { id } of members) {
    const { summaries } = width >= hourMs ? await reader.summaries(id, spans) : await reader.fine(id, spans);
    for (const [i, summary] of summaries.entries()) mergeSummary(all[i]!, summary);
  }
  return all.flatMap(({ count, sum }, i) => (count > 0 ? [{ at: spans[i]!.start, value: sum / count }] : []));
}
