import { readFileSync } from 'node:fs';
import { initSync, MSTL } from '@bsull/augurs/mstl';
import { forecast } from '#services/forecast/engine/engine.ts';
import { engineDefaults } from '#services/forecast/engine/engine-settings.ts';
import { blend } from '#services/forecast/engine/fusion.ts';
import { coverage, mase, naiveScale, smape } from '#services/forecast/engine/scores.ts';
import { prepareSeries, type Series } from '#services/forecast/engine/series.ts';
import { naive2, seasonalNaive } from '#services/forecast/members/naive.ts';

export type SeriesScores = {
  methods: Record<string, { smape: number; mase: number }>;
  cpuSeconds: number;
  coverage: number;
  /** Mean width of the interval, relative to the scale of MASE. */
  width: number;
  /** MSTL's own 90 % interval: half-widths and absolute errors. */
  mstl: { halfWidths: number[]; errors: number[]; scale: number };
};

const horizon = 48;

export default function scoreSeries({ history, actual }: { history: number[]; actual: number[] }): SeriesScores {
  const { series } = prepareSeries(history, null, { step: 3_600_000 });
  const settings = { ...engineDefaults, horizon };
  const before = process.threadCpuUsage();
  const fused = forecast(series, settings);
  const { user, system } = process.threadCpuUsage(before);
  const everyone = forecast(series, { ...settings, everyMember: true });
  const without = forecast(series, {
    ...settings,
    members: ['persistence', 'seasonal_naive', 'seasonal_profile', 'mstl', 'ridge', 'autoregression', 'prophet'],
  });
  const fallback = seasonalNaive.fit(series, horizon).predict(horizon);
  const member = (name: string) => everyone.members.find((item) => item.name === name)?.mean ?? fallback;
  const forecasts: Record<string, Float64Array> = {
    fused: fused.mean,
    'fused without lstm': without.mean,
    'fixed 0.4/0.6': blend([0.4, 0.6], [member('prophet'), member('lstm')]),
    ...Object.fromEntries(everyone.members.map(({ name }) => [name, member(name)])),
    naive2: naive2.fit(series, horizon).predict(horizon),
  };
  const scale = naiveScale(history, 24);
  return {
    methods: Object.fromEntries(
      Object.entries(forecasts).map(([name, mean]) => [
        name,
        { smape: smape(actual, mean), mase: mase(actual, mean, history, 24) },
      ]),
    ),
    cpuSeconds: (user + system) / 1e6,
    coverage: coverage(actual, fused.lower!, fused.upper!),
    width: fused.upper!.reduce((total, value, h) => total + (value - fused.lower![h]!) / horizon, 0) / scale,
    mstl: { ...ownInterval(series, actual), scale },
  };
}

function ownInterval({ values, periods }: Series, actual: number[]) {
  initSync({ module: readFileSync(new URL('mstl_bg.wasm', import.meta.resolve('@bsull/augurs/mstl'))) });
  const model = MSTL.ets(Uint32Array.from(periods));
  model.fit(values);
  const { point, intervals } = model.predict(horizon, 0.9);
  model.free();
  return {
    halfWidths: [...point].map((_, h) => (intervals!.upper[h]! - intervals!.lower[h]!) / 2),
    errors: actual.map((value, h) => Math.abs(value - point[h]!)),
  };
}
