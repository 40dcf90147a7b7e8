import { describe, expect, it } from 'vitest';
import { overTime } from '#services/analytics/promql/functions.ts';
import { dateFunctions } from '#services/analytics/promql/labels.ts';
import { analyticsIn } from '../../../support/analytics.ts';

/** As answered by Prometheus 2.42 for `function(vector(value))` and for `deriv` and `predict_linear` of subqueries. */
const names = ['minute', 'hour', 'day_of_week', 'day_of_month', 'day_of_year', 'days_in_month', 'month', 'year'];

describe('a date part', () => {
  it.each([
    [Number.NaN, [30, 15, 0, 4, 339, 31, 12, 292_277_026_596]],
    [Number.POSITIVE_INFINITY, [30, 15, 0, 4, 339, 31, 12, 292_277_026_596]],
    [Number.NEGATIVE_INFINITY, [30, 15, 0, 4, 339, 31, 12, 292_277_026_596]],
    [1e30, [30, 15, 0, 4, 339, 31, 12, 292_277_026_596]],
    [9.3e18, [30, 15, 0, 4, 339, 31, 12, 292_277_026_596]],
    [1e12, [46, 1, 5, 27, 270, 30, 9, 33_658]],
    [-1e12, [13, 22, 2, 5, 95, 30, 4, -29_719]],
    [-62_135_596_801, [59, 23, 0, 31, 366, 31, 12, 0]],
    [253_402_300_800, [0, 0, 6, 1, 1, 31, 1, 10_000]],
  ])('of %s is that of Prometheus', (seconds, parts) => {
    expect(names.map((name) => dateFunctions[name]!(seconds))).toEqual(parts);
  });

  it('is that of JavaScript in its range; fractions are cut off towards 1970', () => {
    for (const seconds of [0, 0.9, -0.9, 951_782_400, 1_700_000_000.5, 4_107_542_400]) {
      const date = new Date(Math.trunc(seconds) * 1000);
      expect([dateFunctions['year']!(seconds), dateFunctions['day_of_week']!(seconds)]).toEqual([
        date.getUTCFullYear(),
        date.getUTCDay(),
      ]);
    }
  });
});

describe('the slope', () => {
  const samples = (values: number[]) => values.map((value, i) => ({ at: i * 60_000, value }));
  const [inf, nan] = [Number.POSITIVE_INFINITY, Number.NaN];
  it.each([
    [[inf, inf, inf]],
    [[-inf, -inf]],
    [[nan, nan]],
    [[1, inf, 3]],
    [[1, 2, -inf]],
    [[inf, -inf]],
    [[1, nan, 3]],
  ])('of %j is NaN, and so is what it predicts', (values) => {
    for (const name of ['deriv', 'predict_linear'])
      expect(overTime[name]!(samples(values), 0, 180_000, 60), name).toBeNaN();
  });

  it('of finite values is unchanged', () => {
    expect(overTime['deriv']!(samples([1, 2, 3]), 0, 120_000, 0)).toBeCloseTo(1 / 60, 12);
    expect(overTime['deriv']!(samples([5, 5]), 0, 60_000, 0)).toBe(0);
    expect(overTime['predict_linear']!(samples([1, 2, 3]), 0, 120_000, 60)).toBeCloseTo(4, 9);
  });
});

it.each(['holt_winters', 'double_exponential_smoothing'])('%s is refused by name', async (name) => {
  const { analytics } = analyticsIn();
  await expect(analytics.promqlInstant({ query: `${name}(up[5m], 0.5, 0.5)` })).rejects.toMatchObject({
    message: expect.stringContaining(`the function ${name} is not supported`) as string,
  });
});
