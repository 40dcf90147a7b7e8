import { invalid, type TowerError } from '#kernel/errors.ts';
import { createYielder, forEachYielding } from '#kernel/yield-event-loop.ts';
import type { RecordAnswer } from '../schemas.ts';
import type { NewPoint } from '../storage/keys.ts';
import { dayMs } from '../storage/reader.ts';
import { type createRecorder, tooManySeries } from '../storage/recorder.ts';
import type { Retention } from '../storage/seal.ts';
import { maxLabels, readExposition } from './exposition.ts';
import { pointsOfLabels, type RemoteWriteVersion, readWriteRequest, type WriteRequest } from './remote-write.ts';
import { aheadMs } from './rows.ts';

/** Prometheus push formats. */

type Recorder = ReturnType<typeof createRecorder>;
type Rules = { now: number; retention: Retention; countPoints: (points: number) => void };

/** Maximum number of points of a request in the text format. */
const maxPoints = 100_000;
/** Maximum number of refused lines that an answer names. */
const maxNamed = 10;

/** Reason why a point cannot be stored; null if it can. */
function fault({ metric, resource, labels, at }: NewPoint, { now, retention }: Rules): string | null {
  if (metric === '') return 'name missing';
  if (at > now + aheadMs) return 'time more than an hour in the future';
  if (at < now - retention.dayDays * dayMs) return `time more than ${retention.dayDays} days ago`;
  const texts = [metric, resource, ...Object.entries(labels).flat()];
  if (texts.some((text) => text.length > 1024)) return 'name or label longer than 1024 characters';
  if (texts.some((text) => text.includes('\0') || !text.isWellFormed()))
    return 'name or label with NUL or invalid Unicode';
  return Object.keys(labels).length > maxLabels ? `more than ${maxLabels} labels` : null;
}

/** The number of samples stored, and the error for the rest of the request; null: all of it was stored. */
export type Written = { samples: number; problem: TowerError | null };

/**
 * Stores a remote-write request, NaN with its bits. Points that can be stored are, before the sender is told about the
 * others; exemplars and native histograms are refused.
 * @throws TowerError `invalid` if the bytes are no request
 */
export async function ingestRemoteWrite(
  bytes: Uint8Array,
  version: RemoteWriteVersion,
  recorder: Recorder,
  rules: Rules,
): Promise<Written> {
  const points: NewPoint[] = [];
  const wrong: string[] = [];
  let count = 0;
  const { series, exemplars, histograms } = await read(bytes, version);
  await forEachYielding(series, ({ labels, samples }) => {
    for (const point of pointsOfLabels(labels, samples)) {
      count += 1;
      const reason = fault(point, rules);
      if (reason === null) points.push(point);
      else wrong.push(reason);
    }
  });
  rules.countPoints(count);
  const beyondLimit = await recorder.record(points);
  for (const _ of beyondLimit) wrong.push(tooManySeries);
  const problems = [
    ...(wrong.length > 0 ? [`${wrong.length} of ${count} points were refused; the first: ${wrong[0]!}`] : []),
    ...(histograms > 0 ? [`${histograms} native histograms were refused: they are not supported`] : []),
    ...(exemplars > 0 ? [`${exemplars} exemplars were refused: they are not supported (send_exemplars: false)`] : []),
  ];
  const details = {
    parameter: 'body',
    refused_points: wrong.length,
    refused_histograms: histograms,
    refused_exemplars: exemplars,
  };
  return {
    samples: points.length - beyondLimit.size,
    problem: problems.length > 0 ? invalid(problems.join('; '), details) : null,
  };
}

async function read(bytes: Uint8Array, version: RemoteWriteVersion): Promise<WriteRequest> {
  try {
    return await readWriteRequest(bytes, version);
  } catch (error) {
    const reason = error instanceof RangeError ? error.message : 'it contains invalid UTF-8';
    throw invalid(`the body is not a valid remote-write request: ${reason}`, { parameter: 'body' });
  }
}

/**
 * Stores lines of the text exposition format; each is accepted or refused by itself. The answer counts refused lines and
 * names the first ten.
 * @throws TowerError `invalid` for more points than a request may have, and if every line is refused
 */
export async function ingestExposition(text: string, recorder: Recorder, rules: Rules): Promise<RecordAnswer> {
  const points = new Map<NewPoint, number>();
  const results: RecordAnswer['results'] = [];
  let refused = 0;
  const refuse = (index: number, reason: string) => {
    refused += 1;
    if (results.length < maxNamed) results.push({ index, recorded: false, field: null, reason });
  };
  const yielder = createYielder();
  for (const line of readExposition(text)) {
    if (yielder.due()) await yielder.yieldNow();
    if ('reason' in line) {
      refuse(line.line, line.reason);
      continue;
    }
    const [point] = pointsOfLabels(line.labels, [{ at: line.at ?? rules.now, value: line.value }]) as [NewPoint];
    if (points.size >= maxPoints)
      throw invalid(`the body has more than ${maxPoints} points: send several requests`, { parameter: 'body' });
    const reason = Number.isFinite(point.value) ? fault(point, rules) : 'value not finite';
    if (reason === null) points.set(point, line.line);
    else refuse(line.line, reason);
  }
  rules.countPoints(points.size);
  const beyondLimit = await recorder.record([...points.keys()]);
  for (const point of beyondLimit) refuse(points.get(point)!, tooManySeries);
  results.sort((a, b) => a.index - b.index);
  const recorded = points.size - beyondLimit.size;
  if (recorded === 0 && refused > 0)
    throw invalid(`all ${refused} lines were refused; line ${results[0]!.index}: ${results[0]!.reason}`, {
      parameter: 'body',
      refused,
      results,
    });
  return { recorded, refused, results };
}
