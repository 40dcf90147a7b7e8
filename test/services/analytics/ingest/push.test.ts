import { describe, expect, it } from 'vitest';
import type { TowerError } from '#kernel/errors.ts';
import { readExposition } from '#services/analytics/ingest/exposition.ts';
import { analyticsIn } from '../../../support/analytics.ts';

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
    const error = (await analytics.takeText(text()).catch((thrown: unknown) => thrown)) as TowerError;
    const details = error.details as { refused: number; results: object[] };
    expect([error.code, details.refused, details.results.length]).toEqual(['invalid', refused, Math.min(10, refused)]);
    expect(JSON.stringify(details).length).toBeLessThan(2_000);
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
