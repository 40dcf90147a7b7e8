import { monitorEventLoopDelay } from 'node:perf_hooks';
import { seededRandom } from '#kernel/rng.ts';
import { createWorkerPool } from '#kernel/worker-pool.ts';
import { engineDefaults } from '#services/forecast/engine/engine-settings.ts';
import { prepareSeries } from '#services/forecast/engine/series.ts';
import { forecastWorker } from '#services/forecast/forecast.ts';
import { openNetwork } from '#services/forecast/lstm/network.ts';
import { initialWeights, setWeights } from '#services/forecast/lstm/train.ts';
import type { Report } from '../support/report.ts';
import { shape } from './training.ts';

/** Event loop delay while forecasts run, and the time of one inference of the default network. */
export async function benchLatency(report: Report): Promise<void> {
  const net = openNetwork(shape, 'simd', shape.window);
  net.setTable(new Float32Array(shape.window * shape.features).fill(0.5), shape.window);
  setWeights(net, initialWeights(shape, seededRandom(1)));
  const times = Array.from({ length: 3_000 }, () => {
    const begun = performance.now();
    net.forward(Int32Array.of(0), false);
    return performance.now() - begun;
  }).sort((a, b) => a - b);
  report.note(
    `one inference of the default network: median ${times[1_500]!.toFixed(3)} ms, p99 ${times[2_970]!.toFixed(3)} ms`,
  );
  const pool = createWorkerPool(forecastWorker, { threads: 1, queue: 100 });
  const random = seededRandom(2);
  const values = Array.from({ length: 720 }, (_, i) => 100 + 20 * Math.sin((2 * Math.PI * i) / 24) + 5 * random());
  const ask = () =>
    pool.run('runForecast', {
      series: prepareSeries(values, null, { step: 3_600_000 }).series,
      settings: { ...engineDefaults, horizon: 48 },
    });
  await ask();
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const answers = [];
  for (let i = 0; i < 20; i += 1) {
    const begun = performance.now();
    await ask();
    answers.push(performance.now() - begun);
  }
  delay.disable();
  await pool.close();
  answers.sort((a, b) => a - b);
  report.note(
    `fused forecast of 720 points, 48 ahead: median ${answers[10]!.toFixed(0)} ms, longest of 20 ${answers[19]!.toFixed(0)} ms; RSS ${(process.memoryUsage().rss / 1e6).toFixed(0)} MB`,
  );
  report.atMost('longest hold of the event loop while a thread forecasts, ms', delay.max / 1e6, 50);
}
