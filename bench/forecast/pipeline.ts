import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout } from 'node:timers/promises';
import { createWorkerPool } from '#kernel/worker-pool.ts';
import { forecastWorker } from '#services/forecast/forecast.ts';
import { loadTrainingData, targets } from '#services/forecast/training/experiments.ts';
import type { Trained } from '#services/forecast/training/pipeline.ts';
import type { Fitted } from '#services/forecast/training/pipeline-members.ts';
import { pipelineDefaults } from '#services/forecast/training/pipeline-settings.ts';
import { directoryOf, filesOf, hasData } from '../support/data.ts';
import type { Report } from '../support/report.ts';

/** Published R² of MOrA's models on the same experiments (three targets, minimum and maximum). */
const published: Record<string, string> = {
  cpu_cores_value: '-0.01 to 0.18',
  mem_bytes_value: '-31.8 to -3.2',
  replica_count_value: '0.66 to 0.69',
};

/** Models of services from their experiments: training time, and accuracy on test experiments. */
export async function benchPipeline(report: Report): Promise<void> {
  if (!hasData(report, 'forecast: time and error of models of services', 'mora-experiments')) return;
  const services = servicesOf(filesOf('mora-experiments', /\.csv$/));
  const [cold, warm, share]: [number[], number[], number[]] = [[], [], []];
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  for (const service of services) {
    const first = await timed(service, null);
    const second = await timed(service, first.trained.fitted);
    cold.push(first.seconds);
    warm.push(second.seconds);
    for (const target of targets) {
      const methods = first.trained.evaluation.methods[target]!;
      const text = (name: string) =>
        `${name} ${methods[name]!.r2?.toFixed(3) ?? '-'} / ${methods[name]!.mae.toPrecision(3)}`;
      report.note(
        `${service} ${target}: R² / MAE of ${['persistence', 'ridge', 'prophet', 'lstm', 'fixed_blend', 'fused'].map(text).join(', ')}; published R² ${published[target]}`,
      );
      if (methods['persistence']!.mae > 0) share.push(methods['fused']!.mae / methods['persistence']!.mae);
    }
    const { confidence, observedCoverage } = first.trained.evaluation;
    report.note(
      `${service}: ${first.seconds.toFixed(1)} s, warm ${second.seconds.toFixed(1)} s; said to suffice ${(confidence * 100).toFixed(1)} %, did ${(observedCoverage * 100).toFixed(1)} %`,
    );
  }
  delay.disable();
  await cancelling(report, services[0]!);
  report.atMost(
    'longest hold of the event loop while a thread trains, files read and parsed meanwhile, ms',
    delay.max / 1e6,
    50,
  );
  report.atMost(
    'train_pipeline, longest of all services, process and thread new, s (the original: 120 to 180)',
    Math.max(...cold),
    8,
  );
  report.atMost('train_pipeline from the model before, longest of all services, s', Math.max(...warm), 2);
  report.atMost(
    'mean error on held-out experiments relative to persistence’s, mean of all services and targets',
    share.reduce((total, value) => total + value / share.length, 0),
    1,
  );
}

/** Services with experiments, from the file names. */
const servicesOf = (files: string[]): string[] => [
  ...new Set(files.flatMap((file) => /^(.+)_[^_]+_replicas_\d+_users_\d+\.csv$/.exec(file)?.[1] ?? [])),
];

/** Time until a cancelled training ends, and CPU use of its thread afterwards. */
async function cancelling(report: Report, service: string): Promise<void> {
  const { experiments } = await loadTrainingData(directoryOf('mora-experiments'), service);
  const [times, busy]: [number[], number[]] = [[], []];
  for (let round = 0; round < 5; round += 1) {
    const pool = createWorkerPool(forecastWorker, { threads: 1, queue: 1 });
    const abort = new AbortController();
    let begun = 0;
    const settings = { ...pipelineDefaults, epochs: 500, patience: 500 };
    const input = { experiments, settings, engine: 'wasm', buffers: [1.2, 1.15, 1], before: null };
    const onProgress = () => {
      begun ||= performance.now();
      abort.abort(new Error('cancelled'));
    };
    await pool.run('runTraining', input, { signal: abort.signal, onProgress }).catch(() => undefined);
    times.push(performance.now() - begun);
    await setTimeout(100 - times.at(-1)!);
    const before = process.cpuUsage();
    await setTimeout(200);
    const { user, system } = process.cpuUsage(before);
    busy.push((user + system) / 200_000);
    await pool.close();
  }
  report.atMost('longest of five trainings to end after it was cancelled, ms', Math.max(...times), 100);
  report.atMost('share of a core used from 100 ms after cancelling on', Math.max(...busy), 0.5);
}

/** From the files to the evaluated model, in a new thread. */
async function timed(service: string, before: Fitted | null): Promise<{ seconds: number; trained: Trained }> {
  const begun = performance.now();
  const pool = createWorkerPool(forecastWorker, { threads: 1, queue: 1 });
  const { experiments } = await loadTrainingData(directoryOf('mora-experiments'), service);
  const trained = await pool.run<Trained>('runTraining', {
    experiments,
    settings: pipelineDefaults,
    engine: 'wasm',
    buffers: [1.2, 1.15, 1],
    before,
  });
  const seconds = (performance.now() - begun) / 1000;
  await pool.close();
  return { seconds, trained };
}
