import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { varint, varints } from './sketch.ts';

/**
 * Encodes the points of an hour as one blob: the count, the times as differences, then the values, each XORed with its
 * predecessor and transposed by byte, deflated. Lossless, including the bits of a NaN.
 */
export type Points = { times: Float64Array; values: Float64Array };

/** @param times ascending, in milliseconds */
export function encodeChunk({ times, values }: Points): Uint8Array {
  const head = varint(times.length);
  let before = 0;
  for (const time of times) {
    head.push(...varint(time - before));
    before = time;
  }
  const bits = bitsOf(values);
  const mixed = new Uint8Array(
    new BigUint64Array(values.length).map((_, i) => bits[i]! ^ (i > 0 ? bits[i - 1]! : 0n)).buffer,
  );
  const planes = new Uint8Array(mixed.length);
  for (let i = 0; i < values.length; i += 1)
    for (let byte = 0; byte < 8; byte += 1) planes[byte * values.length + i] = mixed[i * 8 + byte]!;
  return deflateRawSync(Buffer.concat([Uint8Array.from(head), planes]));
}

/** @throws RangeError or Error if the bytes are no chunk */
export function decodeChunk(bytes: Uint8Array): Points {
  const raw = inflateRawSync(bytes);
  const next = varints(raw);
  const count = next();
  const times = new Float64Array(count);
  for (let i = 0; i < count; i += 1) times[i] = next() + (i > 0 ? times[i - 1]! : 0);
  const planes = raw.subarray(raw.length - 8 * count);
  const mixed = new Uint8Array(8 * count);
  for (let i = 0; i < count; i += 1)
    for (let byte = 0; byte < 8; byte += 1) mixed[i * 8 + byte] = planes[byte * count + i]!;
  const bits = new BigUint64Array(mixed.buffer);
  for (let i = 1; i < count; i += 1) bits[i] = bits[i]! ^ bits[i - 1]!;
  return { times, values: new Float64Array(bits.buffer) };
}

/** Merges two ascending lists of points; at equal times the newer list wins. */
export function mergePoints(older: Points, newer: Points): Points {
  if (newer.times.length === 0) return older;
  if (older.times.length === 0) return newer;
  const [a, b] = [bitsOf(older.values), bitsOf(newer.values)];
  const times = new Float64Array(a.length + b.length);
  const bits = new BigUint64Array(times.length);
  let [i, j, k] = [0, 0, 0];
  while (i < a.length || j < b.length) {
    const [left, right] = [older.times[i] ?? Number.POSITIVE_INFINITY, newer.times[j] ?? Number.POSITIVE_INFINITY];
    times[k] = Math.min(left, right);
    bits[k] = right <= left ? b[j]! : a[i]!;
    if (left <= right) i += 1;
    if (right <= left) j += 1;
    k += 1;
  }
  return { times: times.slice(0, k), values: new Float64Array(bits.buffer, 0, k) };
}

/** Values are copied as bits: copied as numbers, a NaN might change its bits. */
const bitsOf = (values: Float64Array): BigUint64Array =>
  new BigUint64Array(values.buffer, values.byteOffset, values.length);
