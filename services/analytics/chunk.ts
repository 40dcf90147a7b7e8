import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { varint, varints } from './sketch.ts';

/**
 * The points of an hour as one blob: the count and the times as differences, then the values, each combined (XOR) with the
 * one before and all first bytes, all second bytes and so on together, deflated. Every bit of a value is kept, those of a
 * NaN too.
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
  const bits = new BigUint64Array(values.buffer, values.byteOffset, values.length);
  const mixed = new Uint8Array(
    new BigUint64Array(values.length).map((_, i) => bits[i]! ^ (i > 0 ? bits[i - 1]! : 0n)).buffer,
  );
  const planes = new Uint8Array(mixed.length);
  for (let i = 0; i < values.length; i += 1)
    for (let byte = 0; byte < 8; byte += 1) planes[byte * values.length + i] = mixed[i * 8 + byte]!;
  return deflateRawSync(Buffer.concat([Uint8Array.from(head), planes]));
}

/** @throws RangeError or Error for bytes that are no chunk */
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

/** Both in one, in order; where both have a point at the same time the newer one's counts. */
export function mergePoints(older: Points, newer: Points): Points {
  const at = new Map<number, { from: Points; i: number }>();
  for (const from of [older, newer]) for (let i = 0; i < from.times.length; i += 1) at.set(from.times[i]!, { from, i });
  const times = Float64Array.from(at.keys()).sort();
  const bits = new BigUint64Array(times.length);
  for (const [k, time] of times.entries()) {
    const { from, i } = at.get(time)!;
    bits[k] = new BigUint64Array(from.values.buffer, from.values.byteOffset, from.values.length)[i]!;
  }
  return { times, values: new Float64Array(bits.buffer) };
}
