import { invalid, TowerError } from '../../src/kernel/errors.ts';
import type { NewPoint } from './keys.ts';
import { oneOf } from './query.ts';
import { dayMs, hourMs } from './reader.ts';
import { MetricRow, type RecordAnswer, type RecordRequest } from './schemas.ts';
import type { Retention } from './seal.ts';

/** What is posted, row by row: a point, or why it is none. */

/** A clock may be ahead by so much. */
export const aheadMs = hourMs;

/** @throws TowerError `invalid` for a single point that breaks a rule */
export function judgeRows(
  { metrics, ...single }: RecordRequest,
  now: number,
  retention: Retention,
): { points: NewPoint[]; answer: RecordAnswer } {
  if (metrics && Object.keys(single).length > 0)
    throw invalid('metrics stands alone: one point, or a list of them', { parameter: 'metrics' });
  const judged = (metrics ?? [single]).map((row) => judge(row, now, retention));
  if (!metrics && judged[0] && 'reason' in judged[0]) throw invalid(judged[0].reason, { parameter: judged[0].field });
  const results = judged.map((each, index) =>
    'at' in each ? { index, recorded: true, field: null, reason: null } : { index, recorded: false, ...each },
  );
  const points = judged.filter((each): each is NewPoint => 'at' in each);
  return { points, answer: { recorded: points.length, refused: results.length - points.length, results } };
}

type Refusal = { field: string; reason: string };

function judge(row: unknown, now: number, retention: Retention): NewPoint | Refusal {
  const parsed = MetricRow.safeParse(row);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const field = issue?.code === 'unrecognized_keys' ? (issue.keys[0] ?? '') : (issue?.path.join('.') ?? '');
    const rule = issue?.code === 'unrecognized_keys' ? 'is no field of a point' : (issue?.message ?? 'is wrong');
    return { field, reason: field === '' ? 'a point must be an object' : `${field} ${rule}` };
  }
  try {
    return pointOf(parsed.data, now, retention);
  } catch (error) {
    if (!(error instanceof TowerError)) throw error;
    return { field: String(error.details['parameter']), reason: error.message };
  }
}

function pointOf(row: MetricRow, now: number, { dayDays }: Retention): NewPoint {
  const [metric, resource] = [oneOf('metric', row), oneOf('resource', row)];
  if (metric === undefined) throw invalid('metric must be given', { parameter: 'metric' });
  if (resource === undefined) throw invalid('resource must be given', { parameter: 'resource' });
  if (row.labels && row.tags) throw invalid('tags means the same as labels: give one of them', { parameter: 'tags' });
  const labels = row.labels ?? row.tags ?? {};
  const reserved = ['__name__', 'instance'].find((name) => name in labels);
  if (reserved)
    throw invalid(
      `labels may not hold ${reserved}: that is what Prometheus calls ${reserved === 'instance' ? 'the resource' : 'the metric'}`,
      {
        parameter: 'labels',
      },
    );
  const at = row.timestamp === undefined ? now : Date.parse(row.timestamp);
  const refuse = (why: string) => invalid(`timestamp ${why}`, { parameter: 'timestamp' });
  if (at > now + aheadMs) throw refuse('is more than an hour ahead');
  if (at < now - dayDays * dayMs) throw refuse(`is older than ${dayDays} days, which nothing is kept for`);
  return { metric, resource, labels, at, value: row.value };
}
