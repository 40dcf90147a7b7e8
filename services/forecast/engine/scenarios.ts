import { mean } from '#kernel/stats.ts';
import type { EngineSettings } from './engine-settings.ts';
import { type Forecast, fuse, meanProbability, tolerances } from './fuse.ts';
import { originsOf, upTo } from './fusion.ts';
import { halfWidths, probabilitiesWithin, type Residuals, smallestWidth } from './intervals.ts';
import type { Series } from './series.ts';
import { lowerWithin, upperWithin, withinSupport } from './support.ts';

/** Forecasts after a change that the history has no like of. */

/** One outcome: its forecast, the half-width of its interval, and its probability. */
type Scenario = { center: Float64Array; half: Float64Array; probability: number; residuals: Residuals };

/**
 * `since`: number of values since the change; `fused`: the forecast from all values; `kind`: what the values since the
 * change are unlike.
 */
type Change = { since: number; fused: Forecast; kind: 'level' | 'season' | 'trend' };

/**
 * Outcomes: the change is over and the series goes on as forecast before it; it stays, as a step or as a trend,
 * whichever fits the values since the change; or the members have adapted to it. The forecast is that of the most
 * probable outcome, the interval holds all, and the confidence is their weighted mean.
 */
export function forecastAfterChange(series: Series, settings: EngineSettings, change: Change): Forecast {
  const { since, fused, kind } = change;
  const { horizon, level } = settings;
  const before = upTo(series, series.values.length - since);
  const origins = originsOf(before, horizon + since, settings.origins);
  const earlier = fuse(before, { ...settings, horizon: horizon + since }, origins);
  if (!earlier.residuals || !fused.residuals) return fused;
  const { residuals } = earlier;
  const smallest = smallestWidth(series.values);
  const half = halfWidths(residuals, level, horizon + since, smallest).slice(since);
  const after = earlier.mean.slice(since);
  const deviations = series.values.slice(-since).map((value, i) => value - earlier.mean[i]!);
  const lasting = lastingChange(deviations, horizon);
  const stays: Scenario = {
    center: withinSupport(
      after.map((value, h) => value + lasting.ahead[h]!),
      series.support,
    ),
    half: half.map((width, h) => width + lasting.error[h]!),
    // The longer a change has lasted, the more probable it is that it stays (Laplace's rule of succession).
    probability: kind === 'trend' ? 0.5 : (since + 1) / (since + 3),
    residuals,
  };
  const adapted = {
    center: fused.mean,
    half: halfWidths(fused.residuals, level, horizon, smallest),
    residuals: fused.residuals,
  };
  const other: Scenario =
    kind === 'trend'
      ? { ...adapted, probability: 1 - stays.probability }
      : { center: after, half, residuals, probability: 1 - stays.probability };
  const outcomes = [stays, other];
  // Members follow a trend, and deviations from a season usually decay.
  const center = kind !== 'level' ? fused.mean : (stays.probability > 0.5 ? stays : other).center;
  const held = [...outcomes, { ...adapted, probability: 0 }];
  return {
    ...fused,
    mean: center,
    lower: lowerWithin(
      center.map((_, h) => Math.min(...held.map((each) => each.center[h]! - each.half[h]!))),
      series.support,
    ),
    upper: upperWithin(
      center.map((_, h) => Math.max(...held.map((each) => each.center[h]! + each.half[h]!))),
      series.support,
    ),
    confidence: outcomes.reduce((sum, each) => sum + each.probability * nearness(each, center, settings), 0),
  };
}

/** Probability of being near the forecast if the scenario comes true. */
function nearness({ center, residuals }: Scenario, forecast: Float64Array, settings: EngineSettings): number {
  const allowed = tolerances(forecast, settings).map((distance, h) => distance - Math.abs(forecast[h]! - center[h]!));
  const within = probabilitiesWithin(
    residuals,
    allowed.map((distance) => Math.max(0, distance)),
  );
  return meanProbability(
    within.map((probability, h) => (allowed[h]! < 0 ? 0 : probability)),
    settings,
  );
}

/**
 * The change as a step or as a trend that begins with it, by least squares, and twice the standard error of the trend.
 * @param deviations - of the values since the change from the earlier forecast
 */
function lastingChange(deviations: Float64Array, horizon: number): { ahead: Float64Array; error: Float64Array } {
  const n = deviations.length;
  const step = mean([...deviations]);
  const squares = deviations.reduce((sum, _, i) => sum + (i + 1) ** 2, 0);
  const slope = deviations.reduce((sum, value, i) => sum + (i + 1) * value, 0) / squares;
  const misfit = (at: (i: number) => number) => deviations.reduce((sum, value, i) => sum + (value - at(i)) ** 2, 0);
  const [ofStep, ofTrend] = [misfit(() => step), misfit((i) => slope * (i + 1))];
  const ahead = (at: (h: number) => number) => Float64Array.from({ length: horizon }, (_, h) => at(h));
  if (n < 3 || ofStep <= ofTrend) return { ahead: ahead(() => step), error: ahead(() => 0) };
  const deviation = Math.sqrt(ofTrend / (n - 1) / squares);
  return { ahead: ahead((h) => slope * (n + h + 1)), error: ahead((h) => 2 * deviation * (n + h + 1)) };
}
