import { invalidParameter } from '#kernel/query.ts';
import type { AggregateAnswer, AggregateQuery, Bucket } from '../schemas.ts';
import type { Reader, Series, Span } from '../storage/reader.ts';
import { deviationOf, emptySummary, mergeSummary, percentilesOf, type Summary } from '../storage/summary.ts';
import { bucketsOf, granularities } from './buckets.ts';
import { choice, filterOfMetric, spanOf, zoneOf } from './query.ts';

/** Aggregates metrics by calendar buckets. */

/** Maximum number of buckets of all groups together. */
const maxCells = 500_000;

/** @throws TowerError `invalid` */
export async function aggregate(reader: Reader, now: number, query: AggregateQuery): Promise<AggregateAnswer> {
  const filter = filterOfMetric(query);
  const granularity = choice('granularity', query.granularity, granularities, 'HOUR');
  const timezone = zoneOf(query.timezone);
  const groupBy = choice('group_by', query.group_by, ['none', 'resource', 'series'] as const, 'none');
  const percentiles = percentilesFrom(query.percentiles ?? '50,95,99');
  const spans = bucketsOf(spanOf(query, now), granularity, timezone);
  const found = await reader.find(filter);
  const groups = Map.groupBy(found, ({ id, resource }) =>
    groupBy === 'none' ? '' : groupBy === 'resource' ? resource : String(id),
  );
  if (groups.size * spans.length > maxCells)
    throw invalidParameter(
      'granularity',
      `must be coarser for ${groups.size} groups: at most ${maxCells} buckets can be returned`,
      granularity,
    );
  const answer: AggregateAnswer = { metric: filter.metric, granularity, timezone, groups: [], notes: [] };
  for (const members of groups.values()) {
    const { summaries, torn } = await together(reader, members, spans);
    if (torn && answer.notes.length === 0)
      answer.notes.push(
        'only aggregates are left of the oldest data: an aggregate that spans two buckets counts in the one in which it starts',
      );
    const [first] = members as [Series];
    answer.groups.push({
      resource: groupBy === 'none' ? null : first.resource,
      labels: groupBy === 'series' ? first.labels : null,
      series: members.length,
      buckets: summaries.flatMap((summary, i) =>
        summary.count > 0 ? [bucketOf(summary, spans[i]!, percentiles)] : [],
      ),
    });
  }
  return answer;
}

async function together(
  reader: Reader,
  members: Series[],
  spans: Span[],
): Promise<{ summaries: Summary[]; torn: boolean }> {
  const summaries = spans.map(emptySummary);
  let torn = false;
  for (const { id } of members) {
    const one = await reader.summaries(id, spans);
    torn ||= one.crossesBucketEdge;
    for (const [i, summary] of one.summaries.entries()) mergeSummary(summaries[i]!, summary);
  }
  return { summaries, torn };
}

export function bucketOf(summary: Summary, { start, end }: Span, percentiles: readonly number[]): Bucket {
  const { count, sum, min, max } = summary;
  const values = percentilesOf(summary, percentiles);
  return {
    start: new Date(start).toISOString(),
    end: new Date(end).toISOString(),
    count,
    sum,
    mean: sum / count,
    min,
    max,
    stddev: deviationOf(summary),
    percentiles: Object.fromEntries(percentiles.map((percentile, i) => [`p${percentile}`, values[i]!])),
  };
}

function percentilesFrom(text: string): number[] {
  const numbers = text
    .split(',')
    .map((part) => (/^\d{1,3}(\.\d{1,6})?$/.test(part.trim()) ? Number(part) : Number.NaN));
  if (!numbers.every((number) => number <= 100) || numbers.length > 20)
    throw invalidParameter('percentiles', 'must be at most 20 comma-separated numbers between 0 and 100', text);
  return numbers;
}
