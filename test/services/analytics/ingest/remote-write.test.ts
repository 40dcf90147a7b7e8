import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readWriteRequest } from '#services/analytics/ingest/remote-write.ts';
import { decompress } from '#services/analytics/ingest/snappy.ts';
import { createReader, hourMs, type Series } from '#services/analytics/storage/reader.ts';
import { analyticsIn, iso } from '../../../support/analytics.ts';
import { bitsOf, type Given, part, request, sample, snap, stale, text, varint } from '../../../support/remote-write.ts';

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
    ['unknown fields', (n: number) => part(1, Array.from({ length: n }, () => [58, 0]).flat()), 100_000],
    ['exemplars', (n: number) => part(1, Array.from({ length: n }, () => [26, 0]).flat()), 100_000],
    ['native histograms', (n: number) => part(1, Array.from({ length: n }, () => [34, 0]).flat()), 100_000],
  ])('has a limited number of %s', async (what, bytesOf, most) => {
    expect((await readWriteRequest(snap(bytesOf(most)), '1.0')).series).toBeInstanceOf(Array);
    await expect(readWriteRequest(snap(bytesOf(most + 1)), '1.0')).rejects.toThrow(
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
        const { series: read } = await readWriteRequest(snap(request(given as Given[])), '1.0');
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
        for (const version of ['1.0', '2.0'] as const) {
          const outcome = await analytics.takeWrite(snap([...bytes]), version).catch((error: unknown) => error);
          expect(outcome).toEqual(
            outcome instanceof Error
              ? expect.objectContaining({ code: 'invalid' })
              : { samples: 0, problem: outcome === null ? null : expect.toBeOneOf([null, expect.any(Error)]) },
          );
        }
      }),
    );
  });

  it('of version 2.0 has the series that it names by symbols, packed or not, in any order', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(series, { maxLength: 4 }),
        fc.boolean(),
        fc.boolean(),
        async (given, isPacked, isSymbolsLast) => {
          const symbols = [...new Set(['', ...given.flatMap(({ labels }) => labels.flat())])];
          const references = (labels: [string, string][]) => labels.flat().map((word) => BigInt(symbols.indexOf(word)));
          const table = symbols.flatMap((symbol) => text(4, symbol));
          const body = (given as Given[]).flatMap(({ labels, samples }) =>
            part(5, [
              ...(isPacked
                ? part(1, references(labels).flatMap(varint))
                : references(labels).flatMap((each) => [8, ...varint(each)])),
              ...samples.flatMap(([at, bits]) => sample(at, bits)),
            ]),
          );
          const whole = isSymbolsLast ? [...body, ...table] : [...table, ...body];
          const read = await readWriteRequest(snap(whole), '2.0');
          expect(read.series.map(({ labels }) => labels)).toEqual(given.map(({ labels }) => labels));
          expect(read.series.map(({ samples }) => samples.map(({ at, value }) => [at, bitsOf(value)]))).toEqual(
            given.map(({ samples }) => samples),
          );
        },
      ),
    );
  });

  it.each([
    ['an unknown symbol', [...text(4, ''), ...part(5, part(1, [0, 7]))]],
    ['a name without a value', [...text(4, ''), ...text(4, 'a'), ...part(5, part(1, [1]))]],
    ['invalid UTF-8', [...part(4, [0xff]), ...part(5, part(1, [0, 0]))]],
    ['a reference beyond 32 bits', [...text(4, ''), ...part(5, [8, ...varint(2n ** 40n)])]],
  ])('of version 2.0 is refused with %s', async (what, bytes) => {
    const read = readWriteRequest(snap(bytes), '2.0');
    if (what.includes('beyond')) expect((await read).series[0]?.labels).toEqual([]);
    else await expect(read).rejects.toThrow(Error);
  });

  it.each([
    ['1.0', 3, 4],
    ['2.0', 4, 3],
  ] as const)('of version %s has its samples stored, its exemplars and native histograms refused', async (version, exemplar, histogram) => {
    const { analytics, now } = analyticsIn();
    const labels = version === '1.0' ? part(1, [...text(1, '__name__'), ...text(2, 'up')]) : part(1, [1, 2]);
    const field = version === '1.0' ? 1 : 5;
    const table = version === '1.0' ? [] : ['', '__name__', 'up'].flatMap((symbol) => text(4, symbol));
    const body = [
      ...table,
      ...part(field, [
        ...labels,
        ...sample(now, bitsOf(1)),
        ...part(exemplar, [9, 0, 0, 0, 0, 0, 0, 0, 0]),
        ...part(histogram, [8, 1]),
        ...part(histogram, [8, 2]),
      ]),
    ];
    const { samples, problem } = await analytics.takeWrite(snap(body), version);
    expect([samples, problem?.details]).toEqual([
      1,
      { parameter: 'body', refused_points: 0, refused_histograms: 2, refused_exemplars: 1 },
    ]);
    expect((await analytics.series({})).series).toHaveLength(1);
  });

  it('has labels of few fields', async () => {
    const label = Array.from({ length: 17 }, () => [24, 1]).flat();
    await expect(readWriteRequest(snap(part(1, part(1, label))), '1.0')).rejects.toThrow(RangeError);
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
    const body = snap(request([one('a', 'x\0y'), one('b', 'fine'), one('c\0', 'z')]));
    expect(await analytics.takeWrite(body, '1.0')).toMatchObject({
      samples: 1,
      problem: { code: 'invalid', details: { parameter: 'body', refused_points: 2 } },
    });
    expect((await analytics.series({})).series).toEqual([{ metric: 'up', resource: '', labels: { b: 'fine' } }]);
    expect(await analytics.takeText('up{a="x\0"} 1\nup{a="y"} 1\n')).toMatchObject({ recorded: 1, refused: 1 });
  });

  it('keeps stale markers, and reports refused points after the others', async () => {
    const { analytics, store, now } = analyticsIn();
    const labels: [string, string][] = [
      ['__name__', 'up'],
      ['instance', 'node-1:9100'],
      ['job', 'node'],
    ];
    const written = await analytics.takeWrite(
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
      '1.0',
    );
    expect(written).toMatchObject({
      samples: 2,
      problem: { message: '1 of 3 points were refused; the first: time more than an hour in the future' },
    });
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
