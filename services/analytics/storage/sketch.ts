/**
 * Mergeable quantile sketch: every quantile is within 1 % of a value at that rank (Masson, Rim and Lee 2019, DDSketch).
 * Values are counted in buckets whose bounds grow by a constant factor.
 */
export type Sketch = { zero: number; positive: Map<number, number>; negative: Map<number, number> };

/** Maximum relative error of a quantile. */
export const sketchError = 0.01;
const gamma = (1 + sketchError) / (1 - sketchError);
const logGamma = Math.log(gamma);
/** Smaller values count as zero. */
const smallest = 1e-300;

export const emptySketch = (): Sketch => ({ zero: 0, positive: new Map(), negative: new Map() });

export function addToSketch(sketch: Sketch, value: number): void {
  if (Math.abs(value) < smallest) {
    sketch.zero += 1;
    return;
  }
  const side = value > 0 ? sketch.positive : sketch.negative;
  const bucket = Math.ceil(Math.log(Math.abs(value)) / logGamma);
  side.set(bucket, (side.get(bucket) ?? 0) + 1);
}

/** Merges `other` into `sketch`. */
export function mergeSketch(sketch: Sketch, other: Sketch): void {
  sketch.zero += other.zero;
  for (const side of ['positive', 'negative'] as const)
    for (const [bucket, count] of other[side]) sketch[side].set(bucket, (sketch[side].get(bucket) ?? 0) + count);
}

/**
 * The quantiles of these shares (0 to 1), in the same order: each within 1 % of the value at rank ⌊share · (n − 1)⌋.
 * NaN for an empty sketch.
 */
export function quantilesOf(sketch: Sketch, shares: readonly number[]): number[] {
  const cells: [value: number, count: number][] = [
    ...[...sketch.negative]
      .sort(([a], [b]) => b - a)
      .map(([bucket, count]): [number, number] => [-middle(bucket), count]),
    ...(sketch.zero > 0 ? [[0, sketch.zero] as [number, number]] : []),
    ...[...sketch.positive]
      .sort(([a], [b]) => a - b)
      .map(([bucket, count]): [number, number] => [middle(bucket), count]),
  ];
  const total = cells.reduce((sum, [, count]) => sum + count, 0);
  return shares.map((share) => {
    const rank = Math.floor(share * (total - 1));
    let seen = 0;
    return (cells.find(([, count]) => (seen += count) > rank) ?? [Number.NaN])[0];
  });
}

/** The value with equal relative distance to both bounds of the bucket. */
const middle = (bucket: number): number => (2 * gamma ** bucket) / (gamma + 1);

/** Compact bytes: the count of zeros, then per sign the differences between buckets, with their counts. */
export function encodeSketch({ zero, positive, negative }: Sketch): Uint8Array {
  const numbers = [zero];
  for (const side of [positive, negative]) {
    numbers.push(side.size);
    let before = 0;
    for (const [bucket, count] of [...side].sort(([a], [b]) => a - b)) {
      // Signed, zigzag-encoded.
      const step = bucket - before;
      numbers.push(step >= 0 ? step * 2 : -step * 2 - 1, count);
      before = bucket;
    }
  }
  return Uint8Array.from(numbers.flatMap(varint));
}

/** @throws RangeError if the bytes are no sketch */
export function decodeSketch(bytes: Uint8Array): Sketch {
  const next = varints(bytes);
  const sketch = { ...emptySketch(), zero: next() };
  for (const side of [sketch.positive, sketch.negative]) {
    let bucket = 0;
    for (let left = next(); left > 0; left -= 1) {
      const step = next();
      bucket += step % 2 === 0 ? step / 2 : -(step + 1) / 2;
      side.set(bucket, next());
    }
  }
  return sketch;
}

/** LEB128: seven bits per byte, least significant first; the high bit marks continuation. */
export function varint(value: number): number[] {
  const bytes = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return [...bytes, rest];
}

/** Reads LEB128 numbers in sequence. */
export function varints(bytes: Uint8Array, from = 0): () => number {
  let at = from;
  return () => {
    let [value, factor] = [0, 1];
    for (;;) {
      const byte = bytes[at];
      if (byte === undefined) throw new RangeError('truncated bytes');
      at += 1;
      value += (byte % 128) * factor;
      if (byte < 128) return value;
      factor *= 128;
    }
  };
}
