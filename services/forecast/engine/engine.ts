import { counterBounds, isCounter } from './counter.ts';
import type { EngineSettings } from './engine-settings.ts';
import { type Forecast, fuse } from './fuse.ts';
import { originsOf } from './fusion.ts';
import { forecastAfterChange } from './scenarios.ts';
import type { Series } from './series.ts';
import { lowerWithin, upperWithin } from './support.ts';
import { trendBreak, unusualEnd } from './unusual-end.ts';

/**
 * The fused forecast of one series. Its errors are those at the newest earlier origins, or, if the series ends in an
 * unusual way, those at origins that were unusual in the same way. If there are too few, it can be seen for the first
 * time whether the change stays, and the interval holds all outcomes.
 */
export function forecast(series: Series, settings: EngineSettings): Forecast {
  const found = forecastByEnd(series, settings);
  if (!found.lower || !found.upper || !isCounter(series)) return found;
  const bounds = counterBounds(series, settings.horizon, settings.level);
  return {
    ...found,
    lower: lowerWithin(
      found.lower.map((value, h) => Math.min(value, bounds.lower[h]!)),
      series.support,
    ),
    upper: upperWithin(
      found.upper.map((value, h) => Math.max(value, bounds.upper[h]!)),
      series.support,
    ),
  };
}

function forecastByEnd(series: Series, settings: EngineSettings): Forecast {
  const origins = originsOf(series, settings.horizon, settings.origins);
  const end = unusualEnd(series, origins[0]?.actual.length ?? 0);
  if (end && end.similar.length >= minSimilar) return fuse(series, settings, end.similar);
  const fused = fuse(series, settings, origins);
  if (!fused.residuals) return fused;
  const broken = trendBreak(fused.residuals);
  if (end) {
    const since = broken?.isStraight ? Math.max(end.age, broken.since) : end.age;
    return forecastAfterChange(series, settings, { since, fused, kind: end.isSeasonal ? 'season' : 'level' });
  }
  return broken === null ? fused : forecastAfterChange(series, settings, { since: broken.since, fused, kind: 'trend' });
}

/** Fewer errors say too little. */
const minSimilar = 3;
