import { createYielder } from '#kernel/yield-event-loop.ts';

/** Tags between two readings of the clock. */
const tagsPerCheck = 256;

/**
 * Decompresses snappy's block format (github.com/google/snappy, format_description.txt): the length, then literals and
 * back-references. Yields to the event loop. Only decompression is needed; the available packages have a native addon or are unmaintained.
 * @throws RangeError if the bytes are malformed or would exceed `most`
 */
export async function decompress(bytes: Uint8Array, most: number): Promise<Uint8Array> {
  const broken = () => new RangeError('the body is not compressed with snappy');
  let at = 0;
  const byte = () => {
    const value = bytes[at];
    if (value === undefined) throw broken();
    at += 1;
    return value;
  };
  const little = (count: number) => {
    let value = 0;
    for (let i = 0; i < count; i += 1) value += byte() * 256 ** i;
    return value;
  };
  let length = 0;
  for (let shift = 1; ; shift *= 128) {
    const next = byte();
    length += (next % 128) * shift;
    if (length > most) throw new RangeError(`the decompressed body would exceed ${most} bytes`);
    if (next < 128) break;
    if (shift > 2 ** 28) throw broken();
  }
  const out = new Uint8Array(length);
  let to = 0;
  const yielder = createYielder();
  for (let tags = 1; at < bytes.length; tags += 1) {
    if (tags % tagsPerCheck === 0 && yielder.due()) await yielder.yieldNow();
    const tag = byte();
    if ((tag & 3) === 0) {
      const short = tag >> 2;
      const count = short < 60 ? short + 1 : little(short - 59) + 1;
      if (at + count > bytes.length || to + count > length) throw broken();
      out.set(bytes.subarray(at, at + count), to);
      at += count;
      to += count;
      continue;
    }
    const [count, back] = copyOf(tag, little);
    if (back === 0 || back > to || to + count > length) throw broken();
    // A back-reference may overlap its own output: copied byte by byte.
    for (let i = 0; i < count; i += 1) out[to + i] = out[to + i - back]!;
    to += count;
  }
  if (to !== length) throw broken();
  return out;
}

function copyOf(tag: number, little: (count: number) => number): [count: number, back: number] {
  if ((tag & 3) === 1) return [((tag >> 2) & 7) + 4, (tag >> 5) * 256 + little(1)];
  return [(tag >> 2) + 1, little((tag & 3) === 2 ? 2 : 4)];
}
