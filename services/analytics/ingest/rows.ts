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
export function validateRows(
  { metrics, ...single }: RecordRequest,
  now: number,
  retention: Retention,
): (NewPoint | Refusal)[] {
  if (metrics && Object.keys(single).length > 0)
    throw invalid('metrics must not be combined with other fields', { parameter: 'metrics' });
  const validated = (metrics ?? [single]).map((row) => validate(row, now, retention));
  if (!metrics && validated[0] && 'reason' in validated[0])
    throw invalid(validated[0].reason, { parameter: validated[0].field });
  return validated;
}

export const isPoint = (each: NewPoint | Refusal): each is NewPoint => 'at' in each;

/** Results per row, with the points refused for lack of room. */
export function buildRecordAnswer(validated: (NewPoint | Refusal)[], refused: Set<NewPoint>): RecordAnswer {
  const results = validated.map((each, index) => {
    if (!isPoint(each)) return { index, recorded: false, ...each };
    const recorded = !refused.has(each);
    return { index, recorded, field: recorded ? null : 'labels', reason: recorded ? null : tooManySeries };
  });
  const recorded = results.filter((result) => result.recorded).length;
  return { recorded, refused: results.length - recorded, results };
}

export type Refusal = { field: string; reason: string };

function validate(row: unknown, now: number, retention: Retention): NewPoint | Refusal {
  const parsed = MetricRow.safeParse(row);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const field = issue?.code === 'unrecognized_keys' ? (issue.keys[0] ?? '') : (issue?.path.join('.') ?? '');
    const rule = issue?.code === 'unrecognized_keys' ? 'is not a known field' : (issue?.message ?? 'is invalid');
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
  if (metric === undefined) throw invalid('metric is missing', { parameter: 'metric' });
  if (resource === undefined) throw invalid('resource is missing', { parameter: 'resource' });
  if (row.labels && row.tags) throw invalid('tags is an alias of labels: set only one of them', { parameter: 'tags' });
  const labels = row.labels ?? row.tags ?? {};
  const reserved = ['__name__', 'instance'].find((name) => name in labels);
  if (reserved)
    throw invalid(
      `labels must not contain ${reserved}: Prometheus’ name of ${reserved === 'instance' ? 'the resource' : 'the metric'}`,
      {
        parameter: 'labels',
      },
    );
  const at = row.timestamp === undefined ? now : Date.parse(row.timestamp);
  const refuse = (why: string) => invalid(`timestamp ${why}`, { parameter: 'timestamp' });
  if (at > now + aheadMs) throw refuse('must be at most an hour in the future');
  if (at < now - dayDays * dayMs) throw refuse(`must be at most ${dayDays} days ago, the maximum retention`);
  return { metric, resource, labels, at, value: row.value };
}
