import { median } from '#kernel/stats.ts';
import type { Level } from '../analysis/trend.ts';
import { dayMs, floorTo, hourMs, type Reader, type Series, type Span } from '../storage/reader.ts';
import { emptySummary, mergeSummary } from '../storage/summary.ts';

/** Means of series over even steps: what trends and forecasts are made of. */

const seconds = [1, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400];
/** Steps that divide a day, and the whole of it. */
const widths = seconds.map((second) => second * 1000);

/** The finest step that makes at most so many levels, and is no finer than the points are. */
export const widthFor = (span: Span, most: number, usualStep: number): number =>
  widths.find((width) => width >= usualStep * 0.75 && (span.end - span.start) / width <= most) ?? 7 * dayMs;

/** The usual time between two points of a series, by its newest ones; null where there are fewer than three. */
export async function usualStep(reader: Reader, series: Series, end: number): Promise<number | null> {
  const { points } = await reader.newest([series], { start: end - 35 * dayMs, end }, 200);
  const steps = points.slice(1).map(({ at }, i) => points[i]!.at - at);
  return steps.length < 2 ? null : median(steps);
}

/** Levels of all these series together; steps without a point are left out. */
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
