import { mean } from '#kernel/stats.ts';
import { autoregression } from '../members/autoregression.ts';
import { lstm } from '../members/lstm.ts';
import type { Fitted, Member } from '../members/member.ts';
import { mstl } from '../members/mstl.ts';
import { persistence, seasonalNaive } from '../members/naive.ts';
import { seasonalProfile } from '../members/profile.ts';
import { prophet } from '../members/prophet.ts';
import { ridge } from '../members/ridge.ts';
import type { EngineSettings } from './engine-settings.ts';
import {
  blend,
  type Evaluated,
  evaluateMembers,
  type FusionMode,
  finite,
  fixedShares,
  medianOf,
  normalised,
  type Origin,
  reasonOf,
  type Weighted,
  weigh,
} from './fusion.ts';
import { fusedResiduals, halfWidths, probabilitiesWithin, type Residuals, smallestWidth } from './intervals.ts';
import type { Series } from './series.ts';
import { lowerWithin, upperWithin, withinSupport } from './support.ts';

/** The fused forecast of one series from given origins: evaluates the members there, weights and fits them, blends. */

/** `error`: mean absolute error at the earlier origins; `mean`: the member's own forecast. */
export type MemberReport = {
  name: string;
  weight: number;
  error: number | null;
  left_out: string | null;
  mean: Float64Array | null;
};

export type Forecast = {
  mean: Float64Array;
  /** Null if there are too few origins for an interval. */
  lower: Float64Array | null;
  upper: Float64Array | null;
  level: number;
  /** Calibrated probability that a future value lies within ± tolerance of the forecast; null if unknown. */
  confidence: number | null;
  fusion: FusionMode;
  members: MemberReport[];
  /** Mean absolute error of the fused forecast at the earlier origins, by step; null without origins. */
  residuals: Residuals | null;
  /** No member could be used: the forecast repeats the last value. */
  withoutMembers: boolean;
};

/** All members, in the order of the answers. */
const membersFor = (series: Series, settings: EngineSettings): Member[] => {
  const seasons = series.periods.slice(0, 2).map((_, i) => i);
  const all = [
    persistence,
    seasonalNaive,
    seasonalProfile,
    // With all its seasons only: trying fewer as well cost a third of the time for 0.5 % of accuracy.
    ...(seasons.length > 0 ? [mstl(seasons.length)] : []),
    ...seasons.map(ridge),
    autoregression(false),
    autoregression(true),
    prophet(settings.prophet),
    lstm(settings.lstm),
  ];
  return settings.members === null
    ? all
    : all.filter(({ name }) => settings.members?.some((wanted) => isCalled(name, wanted)));
};

/** `mstl` includes `mstl_2`, `autoregression` includes its logarithmic variant. */
const isCalled = (name: string, wanted: string): boolean =>
  name === wanted || name.replace(/_(\d|log)$/, '') === wanted;

/** @param origins - newest first */
export function fuse(series: Series, settings: EngineSettings, origins: Origin[]): Forecast {
  const { horizon, level } = settings;
  const members = membersFor(series, settings);
  const evaluated = evaluateMembers(members, series, origins, horizon);
  const usable = settings.fusion === 'weighted' && evaluated.some(({ error }) => error !== null);
  const mode: FusionMode = settings.fusion === 'weighted' && !usable ? 'median' : settings.fusion;
  const fitted = weighAndFit(mode, members, evaluated, series, settings);
  const listened = normalised(fitted.map(({ report }) => report));
  const parts = listened.flatMap(({ weight }, i) => (weight > 0 ? [{ weight, mean: fitted[i]!.mean! }] : []));
  const common = {
    level,
    fusion: mode,
    members: listened.map((item, i) => ({ ...item, error: evaluated[i]!.error, mean: fitted[i]!.mean })),
  };
  if (parts.length === 0) {
    const mean = withinSupport(persistence.fit(series, horizon).predict(horizon), series.support);
    return { ...common, mean, lower: null, upper: null, confidence: null, residuals: null, withoutMembers: true };
  }
  const mean = withinSupport(combined(mode, parts), series.support);
  const residuals = fusedResiduals(evaluated, origins, (others, forecasts) => {
    const shares = weightsFor(mode, others);
    const heard = forecasts.flatMap((each, i) =>
      shares[i]!.weight > 0 ? [{ weight: shares[i]!.weight, mean: each }] : [],
    );
    const parts = heard.length > 0 ? heard : forecasts.map((each) => ({ weight: 1, mean: each }));
    return withinSupport(combined(mode, parts), series.support);
  });
  const half = residuals ? halfWidths(residuals, level, horizon, smallestWidth(series.values)) : null;
  return {
    ...common,
    mean,
    lower: half
      ? lowerWithin(
          mean.map((value, h) => value - half[h]!),
          series.support,
        )
      : null,
    upper: half
      ? upperWithin(
          mean.map((value, h) => value + half[h]!),
          series.support,
        )
      : null,
    confidence: residuals && meanProbability(probabilitiesWithin(residuals, tolerances(mean, settings)), settings),
    residuals,
    withoutMembers: false,
  };
}

function combined(mode: FusionMode, parts: { weight: number; mean: Float64Array }[]): Float64Array {
  const means = parts.map(({ mean }) => mean);
  if (mode === 'median') return medianOf(means);
  const total = parts.reduce((sum, { weight }) => sum + weight, 0);
  return blend(
    parts.map(({ weight }) => weight / total),
    means,
  );
}

function weightsFor(mode: FusionMode, evaluated: Evaluated[]): Weighted[] {
  if (mode === 'weighted') return weigh(evaluated);
  return evaluated.map(({ name }) => {
    const weight = mode === 'median' ? 1 : ((fixedShares as Record<string, number>)[name] ?? 0);
    return { name, weight, left_out: weight > 0 ? null : 'not part of the fixed blend' };
  });
}

type Last = { report: Weighted; mean: Float64Array | null };

/** If no member with a weight can be fitted to the whole series, the others are weighted without them. */
function weighAndFit(
  mode: FusionMode,
  members: Member[],
  evaluated: Evaluated[],
  series: Series,
  settings: EngineSettings,
): Last[] {
  const weights = weightsFor(mode, evaluated);
  const fitted = weights.map((item, i) => fitLast(members[i]!, evaluated[i]!.earliest, series, settings, item));
  const hasFailed = (i: number) => weights[i]!.weight > 0 && !fitted[i]!.mean;
  if (
    mode !== 'weighted' ||
    fitted.some(({ report, mean }) => report.weight > 0 && mean) ||
    !weights.some((_, i) => hasFailed(i))
  )
    return fitted;
  const rest = evaluated.map((each, i) =>
    hasFailed(i) ? { ...each, error: null, failure: fitted[i]!.report.left_out } : each,
  );
  return weighAndFit(mode, members, rest, series, settings);
}

/** Fits the member to the whole series; null if that fails. Members with weight 0 are not fitted again. */
function fitLast(
  member: Member,
  earliest: Fitted | null,
  series: Series,
  { horizon, everyMember }: EngineSettings,
  item: Weighted,
): Last {
  if (item.weight === 0 && !everyMember) return { report: item, mean: null };
  if (member.needs(series, horizon) > series.values.length)
    return { report: { ...item, weight: 0, left_out: item.left_out ?? 'the series is too short' }, mean: null };
  try {
    return { report: item, mean: finite((earliest?.refit?.(series) ?? member.fit(series, horizon)).predict(horizon)) };
  } catch (error) {
    return {
      report: { ...item, weight: 0, left_out: item.left_out ?? `failed to fit: ${reasonOf(error)}` },
      mean: null,
    };
  }
}

/** Allowed distances from the forecast. */
export const tolerances = (mean: Float64Array, { tolerance }: EngineSettings): Float64Array =>
  mean.map((value) => tolerance * Math.abs(value));

/** Mean over the requested steps. */
export const meanProbability = (within: Float64Array, { skip }: EngineSettings): number =>
  mean(Array.from(within.slice(skip)));
