import type { NewPoint } from '../storage/keys.ts';
import { unsnap } from './snappy.ts';

/**
 * Prometheus' remote-write 1.0: a WriteRequest in protocol buffers, compressed with snappy. Of it the series are read:
 * `repeated TimeSeries timeseries = 1`, each with `repeated Label labels = 1` (name 1, value 2) and `repeated Sample
 * samples = 2` (double value 1, int64 timestamp 2); what is not known is passed over.
 */

/** Longest request, decompressed. */
const mostBytes = 32 * 1024 * 1024;
const mostSamples = 100_000;
const tooMany = () => new RangeError(`it has more than ${mostSamples} samples`);

type Labelled = { labels: [name: string, value: string][]; samples: { at: number; value: number }[] };

/** @throws RangeError for bytes that are none */
export function readWriteRequest(bytes: Uint8Array): Labelled[] {
  const found: Labelled[] = [];
  let samples = 0;
  for (const { field, part } of fieldsOf(unsnap(bytes, mostBytes))) {
    if (field !== 1 || !part) continue;
    const series = seriesOf(part);
    samples += series.samples.length;
    if (samples > mostSamples) throw tooMany();
    found.push(series);
  }
  return found;
}

function seriesOf(bytes: Uint8Array): Labelled {
  const series: Labelled = { labels: [], samples: [] };
  for (const { field, part } of fieldsOf(bytes)) {
    if (field === 1 && part) {
      const label = ['', ''] as [string, string];
      for (const inner of fieldsOf(part))
        if ((inner.field === 1 || inner.field === 2) && inner.part) label[inner.field - 1] = utf8.decode(inner.part);
      series.labels.push(label);
    }
    if (field === 2 && part) {
      const sample = { at: 0, value: 0 };
      for (const inner of fieldsOf(part)) {
        if (inner.field === 1 && inner.double !== null) sample.value = inner.double;
        if (inner.field === 2 && inner.int !== null) sample.at = Number(BigInt.asIntN(64, inner.int));
      }
      if (series.samples.push(sample) > mostSamples) throw tooMany();
    }
  }
  return series;
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

type Field = { field: number; int: bigint | null; double: number | null; part: Uint8Array | null };

/** The fields of a message, in order. */
function* fieldsOf(bytes: Uint8Array): Generator<Field> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = view.getUint8(at);
      at += 1;
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
    throw new RangeError('a number is too long');
  };
  while (at < bytes.length) {
    const key = Number(varint());
    const found: Field = { field: key >> 3, int: null, double: null, part: null };
    const kind = key & 7;
    if (kind === 0) found.int = varint();
    else if (kind === 1) {
      found.double = view.getFloat64(at, true);
      at += 8;
    } else if (kind === 2) {
      const length = Number(varint());
      if (length > bytes.length - at) throw new RangeError('a part is longer than the whole');
      found.part = bytes.subarray(at, at + length);
      at += length;
    } else if (kind === 5) {
      view.getUint32(at);
      at += 4;
    } else throw new RangeError(`there is no kind ${kind} of field`);
    yield found;
  }
}

/** Prometheus' label `instance` is the resource; `__name__` the metric. */
export function pointsOfLabels(labels: [string, string][], samples: { at: number; value: number }[]): NewPoint[] {
  const all = Object.fromEntries(labels.filter(([, value]) => value !== ''));
  const { __name__: metric = '', instance: resource = '', ...rest } = all;
  return samples.map(({ at, value }) => ({ metric, resource, labels: rest, at, value }));
}
