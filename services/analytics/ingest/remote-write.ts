import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import { createYielder } from '#kernel/yield-event-loop.ts';
import type { NewPoint } from '../storage/keys.ts';
import { decompress } from './snappy.ts';

/**
 * Prometheus' remote-write 1.0: a WriteRequest in protocol buffers, compressed with snappy. Only series are read:
 * `repeated TimeSeries timeseries = 1`, each with `repeated Label labels = 1` (name 1, value 2) and `repeated Sample
 * samples = 2` (double value 1, int64 timestamp 2); unknown fields are skipped.
 */

/** Maximum size of a request, decompressed. Two bytes can be an empty series or label, so these have limits of their own. */
const maxBytes = 16 * 1024 * 1024;
const max = { series: 100_000, labels: 400_000, samples: 100_000, 'unknown fields': 100_000 };
/** Fields of a label or sample, of which two are known. */
const maxFields = 16;
type Counts = Record<keyof typeof max, number>;

/** @throws RangeError above the maximum */
function count(counts: Counts, what: keyof Counts): void {
  counts[what] += 1;
  if (counts[what] > max[what]) throw new RangeError(`it has more than ${max[what]} ${what}`);
}

type Labelled = { labels: [name: string, value: string][]; samples: { at: number; value: number }[] };

/** Yields to the event loop. @throws RangeError for bytes that cannot be decoded, or a request above a limit */
export async function readWriteRequest(bytes: Uint8Array): Promise<Labelled[]> {
  const found: Labelled[] = [];
  const counts: Counts = { series: 0, labels: 0, samples: 0, 'unknown fields': 0 };
  const yielder = createYielder();
  for (const [field, part] of partsOf(await decompress(bytes, maxBytes))) {
    if (yielder.due()) await yielder.yieldNow();
    count(counts, field === 1 && part ? 'series' : 'unknown fields');
    if (field !== 1 || !part) continue;
    const series: Labelled = { labels: [], samples: [] };
    for (const [kind, item] of partsOf(part)) {
      if (yielder.due()) await yielder.yieldNow();
      const isKnown = item !== null && kind <= 2;
      count(counts, isKnown ? (kind === 1 ? 'labels' : 'samples') : 'unknown fields');
      if (!isKnown) continue;
      if (kind === 1) series.labels.push(labelOf(item));
      else series.samples.push(sampleOf(item));
    }
    found.push(series);
  }
  return found;
}

/** The fields of a message, one at a time: those of a large one are never in memory together. Null: not length-delimited. */
function* partsOf(bytes: Uint8Array): Generator<[field: number, part: Uint8Array | null]> {
  const reader = new BinaryReader(bytes, (part) => utf8.decode(part));
  while (reader.pos < reader.len) {
    yield decoded((): [number, Uint8Array | null] => {
      const [field, wireType] = reader.tag();
      if (wireType === WireType.LengthDelimited) return [field, reader.bytes()];
      reader.skip(wireType, field);
      return [field, null];
    });
  }
}

function labelOf(bytes: Uint8Array): [name: string, value: string] {
  const label: [string, string] = ['', ''];
  eachField(bytes, (field, wireType, reader) => {
    if (wireType !== WireType.LengthDelimited || (field !== 1 && field !== 2)) return false;
    label[field - 1] = reader.string();
    return true;
  });
  return label;
}

function sampleOf(bytes: Uint8Array): { at: number; value: number } {
  const sample = { at: 0, value: 0 };
  eachField(bytes, (field, wireType, reader) => {
    if (field === 1 && wireType === WireType.Bit64) sample.value = reader.double();
    else if (field === 2 && wireType === WireType.Varint) sample.at = Number(reader.int64());
    else return false;
    return true;
  });
  return sample;
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * Calls `read` for each field of a message, in order.
 * @param read - returns false for an unknown field, which is skipped
 */
function eachField(
  bytes: Uint8Array,
  read: (field: number, wireType: WireType, reader: BinaryReader) => boolean,
): void {
  const reader = new BinaryReader(bytes, (part) => utf8.decode(part));
  decoded(() => {
    for (let fields = 1; reader.pos < reader.len; fields += 1) {
      if (fields > maxFields) throw new RangeError(`a label or sample has more than ${maxFields} fields`);
      const [field, wireType] = reader.tag();
      if (!read(field, wireType, reader)) reader.skip(wireType, field);
    }
  });
}

/** @throws RangeError for bytes that are no message */
function decoded<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof RangeError) throw error;
    throw new RangeError(
      `not a valid Protocol Buffers message: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

/** Prometheus' label `instance` is the resource; `__name__` the metric. */
export function pointsOfLabels(labels: [string, string][], samples: { at: number; value: number }[]): NewPoint[] {
  const all = Object.fromEntries(labels.filter(([, value]) => value !== ''));
  const { __name__: metric = '', instance: resource = '', ...rest } = all;
  return samples.map(({ at, value }) => ({ metric, resource, labels: rest, at, value }));
}
