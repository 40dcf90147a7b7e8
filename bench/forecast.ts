import { benchAccuracy } from './forecast/accuracy.ts';
import { benchLatency } from './forecast/latency.ts';
import { benchPipeline } from './forecast/pipeline.ts';
import { benchStress } from './forecast/stress.ts';
import { benchTraining } from './forecast/training.ts';
import type { Report } from './support/report.ts';

const parts: Record<string, (report: Report) => Promise<void>> = {
  accuracy: benchAccuracy,
  stress: benchStress,
  training: benchTraining,
  latency: benchLatency,
  pipeline: benchPipeline,
};

/** Claims of the forecast engine: accuracy on M4's hourly series, intervals, speed of the LSTM. */
export async function bench(report: Report, only?: string): Promise<void> {
  for (const [name, run] of Object.entries(parts)) {
    if (only !== undefined && only !== name) continue;
    report.note(`forecast: ${name}`);
    await run(report);
  }
}
