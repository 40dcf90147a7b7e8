import { type Directions, directionOf } from '#kernel/metric-direction.ts';
import { median } from '#kernel/stats.ts';
import { mannKendall, type Slope, theilSen } from '#kernel/trend.ts';
import { byDay, type Day, type Measured } from './points.ts';
import type { Baseline } from './posted.ts';
import type { DriftTest, MetricAssessment } from './schemas.ts';
import { cusum, type Reference, rankInflation, referenceOf, residualCorrelation, type Sign } from './series-tests.ts';
import { combinePValues, type Draft, roundDigits } from './verdict.ts';

export type MetricRules = {
  directions: Directions;
  /** Smallest relevant change, in per cent of the baseline, or in absolute units for a metric between -1 and 1. */
  minChangePct: number;
  minChange: number;
  warningP: number;
};

const dayMs = 86_400_000;
/** Minimum numbers of days, chosen by simulation. */
const minDaysForTests = 8;
const minDaysForCusum = 20;
/** Maximum days after the baseline: an old change is not news, and many values mask a recent one. */
const watched = 120;
/**
 * From this autocorrelation on a series wanders by itself, and the evidence for drift must be stronger by this factor
 * (docs/concepts/drift.md).
 */
const tooCorrelated = 0.7;
const strictnessThen = 200;

/** Assesses one metric on one dataset, measured after training, for a change for the worse. */
export function assessMetric(
  metric: string,
  dataset: string | null,
  points: Measured[],
  pinned: Baseline | null,
  rules: MetricRules,
): Draft<MetricAssessment> {
  const direction = directionOf(metric, rules.directions);
  const sign: Sign = direction === 'higher' ? -1 : direction === 'lower' ? 1 : 0;
  const days = byDay(points);
  const { reference, after } = split(days, pinned);
  const last = days.at(-1);
  const currentValue = median((after.length > 0 ? after : days).slice(-3).map((day) => day.value));
  const change = reference && after.length > 0 ? currentValue - reference.mean : null;
  const trend = reference && after.length + reference.own >= minDaysForTests ? trendOf(days.slice(-watched)) : null;
  const tests = testsOf({ days, after, reference, trend, sign, level: rules.warningP });
  const found =
    reference && reference.sd > 0 && after.length >= minDaysForTests
      ? cusum(values(after), correlated(reference, trend), sign)
      : null;
  const assessment: MetricAssessment = {
    kind: 'metric',
    metric,
    dataset,
    direction,
    status: days.length === 0 ? 'no_data' : 'insufficient_data',
    reason: reference || days.length === 0 ? insufficientDataReason(days.length) : 'the pinned days have no values',
    p: combinePValues(tests),
    p_adjusted: null,
    tests,
    caveats: caveatsOf(points, direction, trend, pinned),
    baseline: reference && baselineInfo(reference),
    current:
      last && after.length > 0 ? { value: roundDigits(currentValue), at: new Date(last.at).toISOString() } : null,
    change: change === null ? null : roundDigits(change),
    change_pct:
      change === null || !reference || reference.mean === 0
        ? null
        : roundDigits((100 * change) / Math.abs(reference.mean)),
    change_point:
      found?.changePoint === null || found === null || found.p > rules.warningP
        ? null
        : dateOf(after[found.changePoint]),
    slope_per_30d: trend && slopePer30(trend.slope),
    n_points: days.length,
    span_days: days.length < 2 ? 0 : ((last?.at ?? 0) - (days[0]?.at ?? 0)) / dayMs,
  };
  const isWorse = change !== null && change !== 0 && (sign === 0 || Math.sign(change) === sign);
  const large = change !== null && reference !== null && isLarge(change, reference.mean, rules);
  const verb = (change ?? 0) < 0 ? 'fell' : 'rose';
  return {
    assessment,
    isRelevant: isWorse && large,
    evidenceFactor: (trend?.correlation ?? 0) >= tooCorrelated ? strictnessThen : 1,
    summary: `${metric} ${verb} from ${roundDigits(reference?.mean ?? 0)} to ${roundDigits(currentValue)}`,
  };
}

const baselineInfo = ({ mean, sd, n, own, source }: Base): NonNullable<MetricAssessment['baseline']> => ({
  value: roundDigits(mean),
  sd: own === 0 || n > 1 ? roundDigits(sd) : null,
  n,
  source: own === 0 ? 'pinned' : source,
});

const values = (days: Day[]): number[] => days.map((day) => day.value);
const dateOf = (day: Day | undefined): string | null => (day ? new Date(day.at).toISOString() : null);

/** `own` = days of the series itself that the reference consists of. */
type Base = Reference & { own: number; source: 'pinned' | 'first_points' };

/** Reference of later values: the pinned days, else the first half of the series, at most 30 days. */
function split(days: Day[], pinned: Baseline | null): { reference: Base | null; after: Day[] } {
  if (pinned && pinned.value !== null)
    return {
      reference: { mean: pinned.value, sd: pinned.sd ?? 0, n: pinned.n ?? 2, correlation: 0, own: 0, source: 'pinned' },
      after: days.slice(-watched),
    };
  if (pinned && pinned.from !== null && pinned.until !== null) {
    const [from, until] = [pinned.from, pinned.until];
    const inside = days.filter((day) => day.at >= from && day.at < until);
    const after = days.filter((day) => day.at >= until).slice(-watched);
    return {
      reference: inside.length > 0 ? { ...referenceOf(values(inside)), own: inside.length, source: 'pinned' } : null,
      after,
    };
  }
  if (days.length === 0) return { reference: null, after: [] };
  const size = days.length < minDaysForTests ? 1 : Math.min(30, Math.floor(days.length / 2));
  return {
    reference: { ...referenceOf(values(days.slice(0, size))), own: size, source: 'first_points' },
    after: days.slice(size).slice(-watched),
  };
}

type Trend = { slope: Slope; correlation: number; days: Day[] };

function trendOf(days: Day[]): Trend {
  const at = days.map((day) => day.at / dayMs);
  const slope = theilSen(at, values(days));
  return { slope, correlation: residualCorrelation(at, values(days), slope), days };
}

/** A short reference estimates autocorrelation poorly; the whole series, detrended, estimates it better. */
const correlated = (reference: Base, trend: Trend | null): Reference => ({
  ...reference,
  correlation: Math.max(reference.correlation, trend?.correlation ?? 0),
});

function testsOf(given: {
  days: Day[];
  after: Day[];
  reference: Base | null;
  trend: Trend | null;
  sign: Sign;
  level: number;
}): DriftTest[] {
  const { days, after, reference, trend, sign, level } = given;
  const tests: DriftTest[] = [];
  const add = (name: DriftTest['name'], { statistic, p }: { statistic: number; p: number }) =>
    tests.push({
      name,
      against: 'baseline',
      statistic: roundDigits(statistic),
      threshold: level,
      p: roundDigits(p),
      flag: p <= level,
    });
  if (days.length >= minDaysForTests && trend)
    add('mann_kendall', mannKendall(values(trend.days), sign, rankInflation(trend.days.length, trend.correlation)));
  const enough =
    reference &&
    reference.sd > 0 &&
    after.length >= minDaysForTests &&
    reference.n >= 10 &&
    (reference.own === 0 || days.length >= minDaysForCusum);
  if (enough) add('cusum', cusum(values(after), correlated(reference, trend), sign));
  return tests;
}

const slopePer30 = ({ perDay, low, high }: Slope) => ({
  value: roundDigits(perDay * 30),
  low: roundDigits(low * 30),
  high: roundDigits(high * 30),
});

/** A metric between -1 and 1 has an absolute threshold too: 0.01 of an accuracy matters even if 2 % of it is more. */
const isLarge = (change: number, base: number, { minChangePct, minChange }: MetricRules): boolean =>
  (base !== 0 && Math.abs(change) >= (minChangePct / 100) * Math.abs(base)) ||
  (Math.abs(base) <= 1 && Math.abs(change) >= minChange);

function insufficientDataReason(days: number): string {
  if (days === 0) return 'no day has a number';
  return `${days} ${days === 1 ? 'day has' : 'days have'} values; ${minDaysForTests} are required for a verdict`;
}

function caveatsOf(points: Measured[], direction: string, trend: Trend | null, pinned: Baseline | null): string[] {
  const caveats: string[] = [];
  if (direction === 'unknown') caveats.push('the better direction is unknown, so every change counts');
  if (trend && trend.correlation >= 0.2)
    caveats.push(
      `values are autocorrelated (${roundDigits(trend.correlation)}): the tests are adjusted${trend.correlation >= tooCorrelated ? `, and drift requires a p-value ${strictnessThen} times smaller` : ''}`,
    );
  if (new Set(points.map((point) => point.source)).size > 1) caveats.push('values of several sources are combined');
  if (
    pinned &&
    pinned.value === null &&
    !points.some((point) => point.at >= (pinned.from ?? 0) && point.at < (pinned.until ?? 0))
  )
    caveats.push('the pinned days have no value');
  return caveats;
}
