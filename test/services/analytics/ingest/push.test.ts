import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readExposition } from '#services/analytics/ingest/exposition.ts';
import { readWriteRequest } from '#services/analytics/ingest/remote-write.ts';
import { decompress } from '#services/analytics/ingest/snappy.ts';
import { createReader, hourMs, type Series } from '#services/analytics/storage/reader.ts';
import { analyticsIn, iso } from '../../../support/analytics.ts';

/** A minimal Protocol Buffers writer. */
const varint = (value: bigint): number[] =>
  value < 128n ? [Number(value)] : [Number(value & 127n) | 128, ...varint(value >> 7n)];
const part = (field: number, bytes: Iterable<number>): number[] => {
  const all = [...bytes];
  return [...varint(BigInt(field * 8 + 2)), ...varint(BigInt(all.length)), ...all];
};
const text = (field: number, value: string) => part(field, new TextEncoder().encode(value));
const sample = (at: number, bits: bigint) =>
  part(2, [9, ...new Uint8Array(BigUint64Array.of(bits).buffer), 16, ...varint(BigInt.asUintN(64, BigInt(at)))]);
type Given = { labels: [string, string][]; samples: [at: number, bits: bigint][] };
const request = (series: Given[]) =>
  series.flatMap(({ labels, samples }) =>
    part(1, [
      ...labels.flatMap(([name, value]) => part(1, [...text(1, name), ...text(2, value)])),
      ...samples.flatMap(([at, bits]) => sample(at, bits)),
    ]),
  );
/** Literals only: valid output of any compressor. */
const snap = (bytes: number[]): Uint8Array => {
  const blocks: number[] = [];
  for (let from = 0; from < bytes.length; from += 60) {
    const block = bytes.slice(from, from + 60);
    blocks.push((block.length - 1) << 2, ...block);
  }
  return Uint8Array.from([...varint(BigInt(bytes.length)), ...blocks]);
};
const stale = 0x7ff0000000000002n;
const bitsOf = (value: number) => new BigUint64Array(Float64Array.of(value).buffer)[0]!;

describe('snappy', () => {
  it('decodes copies, overlapping ones included', async () => {
    // "ab", then a copy of ten bytes from offset two, then three bytes with a two-byte offset.
    const bytes = [15, 4, 97, 98, ((10 - 4) << 2) | 1, 2, ((3 - 1) << 2) | 2, 12, 0];
    expect(new TextDecoder().decode(await decompress(Uint8Array.from(bytes), 100))).toBe(
      'ababababababaab'.slice(0, 12) + 'aba',
    );
  });

  it('decodes or refuses any bytes, within the maximum size', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 60 }), async (bytes) => {
        try {
          expect((await decompress(bytes, 500)).length).toBeLessThanOrEqual(500);
        } catch (error) {
          expect(error).toBeInstanceOf(RangeError);
        }
      }),
    );
    await expect(decompress(Uint8Array.from([255, 255, 255, 255, 15]), 1000)).rejects.toThrow(
      'would exceed 1000 bytes',
    );
  });
});

describe('a remote-write request', () => {
  it.each([
    ['series', (n: number) => Array.from({ length: n }, () => [10, 0]).flat(), 100_000],
    ['samples', (n: number) => part(1, Array.from({ length: n }, () => [18, 0]).flat()), 100_000],
    ['labels', (n: number) => part(1, Array.from({ length: n }, () => [10, 0]).flat()), 400_000],
    ['unknown fields', (n: number) => Array.from({ length: n }, () => [26, 0]).flat(), 100_000],
    ['unknown fields', (n: number) => Array.from({ length: n }, () => [24, 1]).flat(), 100_000],
    ['unknown fields', (n: number) => part(1, Array.from({ length: n }, () => [26, 0]).flat()), 100_000],
  ])('has a limited number of %s', async (what, bytesOf, most) => {
    expect(await readWriteRequest(snap(bytesOf(most)))).toBeInstanceOf(Array);
    await expect(readWriteRequest(snap(bytesOf(most + 1)))).rejects.toThrow(
      new RangeError(`it has more than ${most} ${what}`),
    );
  });

  const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 });
  const series = fc.record({
    labels: fc.array(fc.tuple(name, name), { maxLength: 4 }),
    samples: fc.array(
      fc.tuple(fc.integer({ min: -(2 ** 45), max: 2 ** 45 }), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })),
      { maxLength: 5 },
    ),
  });

  it('is decoded exactly, every bit of a value', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(series, { maxLength: 4 }), async (given) => {
        const read = await readWriteRequest(snap(request(given as Given[])));
        expect(read.map(({ labels }) => labels)).toEqual(given.map(({ labels }) => labels));
        expect(read.map(({ samples }) => samples.map(({ at, value }) => [at, bitsOf(value)]))).toEqual(
          given.map(({ samples }) => samples),
        );
      }),
    );
  });

  it('is decoded or refused, whatever the bytes', async () => {
    const { analytics } = analyticsIn();
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 80 }), async (bytes) => {
        const outcome = await analytics.takeWrite(snap([...bytes])).catch((error: unknown) => error);
        if (outcome !== undefined) expect(outcome).toMatchObject({ code: 'invalid' });
      }),
    );
  });

  it('has labels of few fields', async () => {
    const label = Array.from({ length: 17 }, () => [24, 1]).flat();
    await expect(readWriteRequest(snap(part(1, part(1, label))))).rejects.toThrow(RangeError);
  });

  it('refuses points with names that PostgreSQL cannot hold, and keeps the others', async () => {
    const { analytics, now } = analyticsIn();
    const one = (name: string, value: string) => ({
      labels: [
        ['__name__', 'up'],
        [name, value],
      ] as [string, string][],
      samples: [[now, bitsOf(1)]] as [number, bigint][],
    });
    const written = analytics.takeWrite(snap(request([one('a', 'x\0y'), one('b', 'fine'), one('c\0', 'z')])));
    await expect(written).rejects.toMatchObject({ code: 'invalid', details: { parameter: 'body' } });
    expect((await analytics.series({})).series).toEqual([{ metric: 'up', resource: '', labels: { b: 'fine' } }]);
    expect(await analytics.takeText('up{a="x\0"} 1\nup{a="y"} 1\n')).toMatchObject({ recorded: 1, refused: 1 });
  });

  it('keeps stale markers, skips exemplars, and reports refused points after the others', async () => {
    const { analytics, store, now } = analyticsIn();
    const labels: [string, string][] = [
      ['__name__', 'up'],
      ['instance', 'node-1:9100'],
      ['job', 'node'],
    ];
    const written = analytics.takeWrite(
      snap(
        request([
          {
            labels,
            samples: [
              [now - 30_000, bitsOf(1)],
              [now - 15_000, stale],
            ],
          },
          { labels, samples: [[now + 2 * hourMs, bitsOf(1)]] },
        ]),
      ),
    );
    await expect(written).rejects.toThrow(
      '1 of 3 points were refused; the first: time more than an hour in the future',
    );
    expect((await analytics.series({})).series).toEqual([
      { metric: 'up', resource: 'node-1:9100', labels: { job: 'node' } },
    ]);
    const reader = createReader(store);
    const [{ id }] = (await reader.find({})) as [Series];
    const { values } = await reader.points(id, { start: 0, end: now });
    expect([...new BigUint64Array(values.slice().buffer)]).toEqual([bitsOf(1), stale]);
    const { groups } = await analytics.aggregate({ metric: 'up', start: iso(now - hourMs) });
    expect(groups[0]!.buckets).toMatchObject([{ count: 1, sum: 1 }]);
  });
});

describe('the text format', () => {
  it('is parsed line by line', () => {
    const lines = [
      ...readExposition(
        [
          '# HELP http_requests_total The total',
          String.raw`http_requests_total{method="post",path="/a \"b\" \\ c",} 1027 1395066363000`,
          'metric_without_timestamp_and_labels 12.47',
          'up{instance="x"} NaN',
          '',
          'broken{a=b} 1',
          'broken{a="b" 1',
          'no_value',
          'x 1 2 3',
          '7x 1',
        ].join('\n'),
      ),
    ];
    expect(lines).toEqual([
      {
        line: 2,
        labels: [
          ['__name__', 'http_requests_total'],
          ['method', 'post'],
          ['path', String.raw`/a "b" \ c`],
        ],
        value: 1027,
        at: 1_395_066_363_000,
      },
      { line: 3, labels: [['__name__', 'metric_without_timestamp_and_labels']], value: 12.47, at: null },
      {
        line: 4,
        labels: [
          ['__name__', 'up'],
          ['instance', 'x'],
        ],
        value: Number.NaN,
        at: null,
      },
      { line: 6, reason: 'labels must be name="value", separated by commas' },
      { line: 7, reason: 'labels must end with }' },
      { line: 8, reason: 'the value must be a number (got "")' },
      { line: 9, reason: 'only a timestamp in milliseconds may follow the value' },
      { line: 10, reason: 'the line must begin with a metric name' },
    ]);
  });

  it('is recorded, and non-finite values are reported by line', async () => {
    const { analytics } = analyticsIn();
    expect(await analytics.takeText('up{instance="a"} 1\nup{instance="b"} NaN\n')).toEqual({
      recorded: 1,
      refused: 1,
      results: [{ index: 2, recorded: false, field: null, reason: 'value not finite' }],
    });
    expect((await analytics.points({})).points).toMatchObject([{ metric: 'up', resource: 'a', value: 1 }]);
  });

  it.each([
    ['one-letter lines', () => 'x\n'.repeat(500_000), 500_000],
    ['long values', () => `x ${'9'.repeat(100)}z\n`.repeat(9_000), 9_000],
    ['one line of a megabyte', () => `x ${'y'.repeat(1_000_000)}`, 1],
  ])('has a small answer for %s', async (_name, text, refused) => {
    const { analytics } = analyticsIn();
    const answer = await analytics.takeText(text());
    expect([answer.recorded, answer.refused, answer.results.length]).toEqual([0, refused, Math.min(10, refused)]);
    expect(JSON.stringify(answer).length).toBeLessThan(2_000);
  });

  it('refuses lines with too many labels, and requests with too many points, before it stores any', async () => {
    const { analytics } = analyticsIn();
    const labels = Array.from({ length: 65 }, (_, i) => `l${i}="v"`).join(',');
    expect(await analytics.takeText(`up{${labels}} 1\nup 1\n`)).toMatchObject({
      recorded: 1,
      results: [{ index: 1, reason: 'more than 64 labels' }],
    });
    const many = 'up 1\n'.repeat(100_001);
    await expect(analytics.takeText(many)).rejects.toMatchObject({ code: 'invalid' });
    expect((await analytics.points({})).count).toBe(1);
  });
});
