import { mean } from '#kernel/stats.ts';
import { forecast } from '#services/forecast/engine/engine.ts';
import { engineDefaults } from '#services/forecast/engine/engine-settings.ts';
import { coverage } from '#services/forecast/engine/scores.ts';
import { prepareSeries } from '#services/forecast/engine/series.ts';
import { type StressClass, stressSeries } from './stress-series.ts';

/** `near`: share of values within 20 % of the forecast; `width` relative to the standard deviation of the history. */
export type StressScores = { coverage: number; confidence: number; near: number; width: number };

const horizon = 24;

export default function scoreStress({ name, seed }: { name: StressClass; seed: number }): StressScores {
  const { history, actual } = stressSeries(name, seed, horizon);
  const { series } = prepareSeries(history, null, { step: name.startsWith('rare') ? 86_400_000 : 3_600_000 });
  const { mean: values, lower, upper, confidence } = forecast(series, { ...engineDefaults, horizon });
  const center = mean(history);
  const deviation = Math.sqrt(mean(history.map((value) => (value - center) ** 2)));
  return {
    coverage: coverage(actual, lower!, upper!),
    confidence: confidence!,
    near: mean(actual.map((value, h) => (Math.abs(value - values[h]!) <= 0.2 * Math.abs(values[h]!) ? 1 : 0))),
    width: mean(actual.map((_, h) => (upper![h]! - lower![h]!) / deviation)),
  };
}
