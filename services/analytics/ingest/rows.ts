import { invalid, TowerError } from '#kernel/errors.ts';
import { oneOf } from '../query/query.ts';
import { MetricRow, type RecordAnswer, type RecordRequest } from '../schemas.ts';
import type { NewPoint } from '../storage/keys.ts';
import { dayMs, hourMs } from '../storage/reader.ts';
import { tooManySeries } from '../storage/recorder.ts';
import type { Retention } from '../storage/seal.ts';

/** Validates posted rows: each is a point, or the reason why it is not. */

/** Tolerance for clocks that are ahead. */
export const aheadMs = hourMs;

/** Validates each row of a request. @throws TowerError `invalid` for a single row that breaks a rule */
export function judgeRows(
  { metrics, ...single }: RecordRequest,
  now: number,
  retention: Retention,
): (NewPoint | Refusal)[] {
  if (metrics && Object.keys(single).length > 0)
    throw invalid('metrics stands alone: one point, or a list of them', { parameter: 'metrics' });
  const judged = (metrics ?? [single]).map((row) => judge(row, now, retention));
  if (!metrics && judged[0] && 'reason' in judged[0]) throw invalid(judged[0].reason, { parameter: judged[0].field });
  return judged;
}

export const isPoint = (each: NewPoint | Refusal): each is NewPoint => 'at' in each;

/** Results per row, with the points refused for lack of room. */
export function verdicts(judged: (NewPoint | Refusal)[], refused: Set<NewPoint>): RecordAnswer {
  const results = judged.map((each, index) => {
    if (!isPoint(each)) return { index, recorded: false, ...each };
    const recorded = !refused.has(each);
    return { index, recorded, field: recorded ? null : 'labels', reason: recorded ? null : tooManySeries };
  });
  const recorded = results.filter((result) => result.recorded).length;
  return { recorded, refused: results.length - recorded, results };
}

export type Refusal = { field: string; reason: string };

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
