/** Requests of Prometheus' remote write, byte by byte. */

/** A minimal Protocol Buffers writer. */
export const varint = (value: bigint): number[] =>
  value < 128n ? [Number(value)] : [Number(value & 127n) | 128, ...varint(value >> 7n)];
export const part = (field: number, bytes: Iterable<number>): number[] => {
  const all = [...bytes];
  return [...varint(BigInt(field * 8 + 2)), ...varint(BigInt(all.length)), ...all];
};
export const text = (field: number, value: string) => part(field, new TextEncoder().encode(value));
export const sample = (at: number, bits: bigint) =>
  part(2, [9, ...new Uint8Array(BigUint64Array.of(bits).buffer), 16, ...varint(BigInt.asUintN(64, BigInt(at)))]);
export type Given = { labels: [string, string][]; samples: [at: number, bits: bigint][] };
export const request = (series: Given[]) =>
  series.flatMap(({ labels, samples }) =>
    part(1, [
      ...labels.flatMap(([name, value]) => part(1, [...text(1, name), ...text(2, value)])),
      ...samples.flatMap(([at, bits]) => sample(at, bits)),
    ]),
  );
/** Literals only: valid output of any compressor. */
export const snap = (bytes: number[]): Uint8Array => {
  const blocks: number[] = [];
  for (let from = 0; from < bytes.length; from += 60) {
    const block = bytes.slice(from, from + 60);
    blocks.push((block.length - 1) << 2, ...block);
  }
  return Uint8Array.from([...varint(BigInt(bytes.length)), ...blocks]);
};
export const stale = 0x7ff0000000000002n;
export const bitsOf = (value: number) => new BigUint64Array(Float64Array.of(value).buffer)[0]!;
