import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import { createYielder } from '#kernel/yield-event-loop.ts';
import type { NewPoint } from '../storage/keys.ts';
import { decompress } from './snappy.ts';

/**
 * Prometheus' remote-write 1.0 and 2.0: requests in protocol buffers, compressed with snappy
 * (prometheus.io/docs/specs/prw/remote_write_spec_2_0). Series, labels and samples are read, exemplars and native
 * histograms counted; unknown fields are skipped.
 *
 *   1.0 WriteRequest: TimeSeries 1 { Label 1 { name 1, value 2 }, Sample 2, Exemplar 3, Histogram 4 }
 *   2.0 Request: symbols 4, TimeSeries 5 { labels_refs 1 (numbers of symbols), Sample 2, Histogram 3, Exemplar 4 }
 *   Sample { double value 1, int64 timestamp 2 }
 */
export type RemoteWriteVersion = '1.0' | '2.0';

/** Maximum size of a request, decompressed. Two bytes can be an empty series or label, so these have limits of their own. */
const maxBytes = 16 * 1024 * 1024;
const max = {
  series: 100_000,
  labels: 400_000,
  samples: 100_000,
  symbols: 400_000,
  exemplars: 100_000,
  'native histograms': 100_000,
  'unknown fields': 100_000,
};
/** Fields of a label or sample, of which two are known. */
const maxFields = 16;
type Counts = Record<keyof typeof max, number>;

/** @throws RangeError above the maximum */
function count(counts: Counts, what: keyof Counts, more = 1): void {
  counts[what] += more;
  if (counts[what] > max[what]) throw new RangeError(`it has more than ${max[what]} ${what}`);
}

type Labels = [name: string, value: string][];
export type WrittenSeries = { labels: Labels; samples: { at: number; value: number }[] };
/** `exemplars` and `histograms` are the numbers of what is not read. */
export type WriteRequest = { series: WrittenSeries[]; exemplars: number; histograms: number };

/** Fields of a series by their numbers. */
const fieldsOf = {
  '1.0': { series: 1, samples: 2, exemplars: 3, histograms: 4 },
  '2.0': { series: 5, samples: 2, exemplars: 4, histograms: 3 },
} as const;
const symbolsField = 4;

/** Yields to the event loop. @throws RangeError for bytes that cannot be decoded, or a request above a limit */
export async function readWriteRequest(bytes: Uint8Array, version: RemoteWriteVersion): Promise<WriteRequest> {
  const body = await decompress(bytes, maxBytes);
  const counts = Object.fromEntries(Object.keys(max).map((what) => [what, 0])) as Counts;
  // Symbols may follow the series that use them.
  const symbols = version === '2.0' ? await symbolsIn(body, counts) : [];
  const fields = fieldsOf[version];
  const series: WrittenSeries[] = [];
  const yielder = createYielder();
  for (const [field, part] of partsOf(body)) {
    if (yielder.due()) await yielder.yieldNow();
    if (version === '2.0' && field === symbolsField && part) continue;
    count(counts, field === fields.series && part ? 'series' : 'unknown fields');
    if (field !== fields.series || !part) continue;
    const one: WrittenSeries = { labels: [], samples: [] };
    for (const [kind, item, number] of partsOf(part)) {
      if (yielder.due()) await yielder.yieldNow();
      if (kind === 1 && version === '2.0') addReferences(one.labels, symbols, item, number, counts);
      else if (kind === 1 && item) {
        count(counts, 'labels');
        one.labels.push(labelOf(item));
      } else if (kind === fields.samples && item) {
        count(counts, 'samples');
        one.samples.push(sampleOf(item));
      } else
        count(
          counts,
          kind === fields.exemplars && item
            ? 'exemplars'
            : kind === fields.histograms && item
              ? 'native histograms'
              : 'unknown fields',
        );
    }
    requirePairs(one.labels);
    series.push(one);
  }
  return { series, exemplars: counts.exemplars, histograms: counts['native histograms'] };
}

async function symbolsIn(body: Uint8Array, counts: Counts): Promise<string[]> {
  const symbols: string[] = [];
  const yielder = createYielder();
  for (const [field, part] of partsOf(body)) {
    if (yielder.due()) await yielder.yieldNow();
    if (field !== symbolsField || !part) continue;
    count(counts, 'symbols');
    symbols.push(decoded(() => utf8.decode(part)));
  }
  return symbols;
}

/** References are packed, or one per field; names and values alternate. */
function addReferences(
  labels: Labels,
  symbols: string[],
  packed: Uint8Array | null,
  single: number | null,
  counts: Counts,
): void {
  const references = packed ? decoded(() => packedNumbers(packed)) : single === null ? [] : [single];
  for (const reference of references) {
    const symbol = symbols[reference];
    if (symbol === undefined) throw new RangeError(`a label refers to symbol ${reference} of ${symbols.length}`);
    const last = labels.at(-1);
    if (last && last.length < 2) (last as string[]).push(symbol);
    else {
      count(counts, 'labels');
      labels.push([symbol] as unknown as [string, string]);
    }
  }
}

function packedNumbers(bytes: Uint8Array): number[] {
  const reader = new BinaryReader(bytes);
  const numbers: number[] = [];
  while (reader.pos < reader.len) numbers.push(reader.uint32());
  return numbers;
}

function requirePairs(labels: Labels): void {
  const last = labels.at(-1);
  if (last && last.length < 2) throw new RangeError('a label has a name without a value');
}

/**
 * The fields of a message, one at a time: those of a large one are never in memory together. `part` of a length-delimited
 * field, `number` of a varint of at most 32 bits.
 */
function* partsOf(bytes: Uint8Array): Generator<[field: number, part: Uint8Array | null, number: number | null]> {
  const reader = new BinaryReader(bytes, (part) => utf8.decode(part));
  while (reader.pos < reader.len) {
    yield decoded((): [number, Uint8Array | null, number | null] => {
      const [field, wireType] = reader.tag();
      if (wireType === WireType.LengthDelimited) return [field, reader.bytes(), null];
      if (wireType === WireType.Varint) {
        const value = reader.uint64();
        return [field, null, BigInt(value) < 2n ** 32n ? Number(value) : null];
      }
      reader.skip(wireType, field);
      return [field, null, null];
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
