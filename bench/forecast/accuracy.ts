import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { Piscina } from 'piscina';
import { owa } from '#services/forecast/engine/scores.ts';
import { directoryOf, hasData } from '../support/data.ts';
import { median, type Report } from '../support/report.ts';
import type { SeriesScores } from './accuracy.worker.ts';

/** M4's hourly series: rows of a name and its values, padded with empty cells. */
function readM4(file: string): Map<string, number[]> {
  const lines = readFileSync(join(directoryOf('m4'), file), 'utf8')
    .trim()
    .split('\n')
    .slice(1);
  const cells = lines.map((line) => line.split(',').map((cell) => cell.replaceAll('"', '').trim()));
  return new Map(cells.map(([name = '', ...values]) => [name, values.filter((cell) => cell !== '').map(Number)]));
}

/** Forecasts every series 48 steps ahead and scores it on the test file, which was not used for development. */
export async function benchAccuracy(report: Report): Promise<void> {
  if (!hasData(report, 'forecast: OWA on M4 hourly', 'm4')) return;
  const [train, test] = [readM4('Hourly-train.csv'), readM4('Hourly-test.csv')];
  const pool = new Piscina({
    filename: new URL('./accuracy.worker.ts', import.meta.url).href,
    maxThreads: availableParallelism(),
  });
  const all = (await Promise.all(
    [...train].map(([name, history]) => pool.run({ history, actual: test.get(name) })),
  )) as SeriesScores[];
  await pool.destroy();
  const mean = (of: (scores: SeriesScores) => number) =>
    all.reduce((total, scores) => total + of(scores), 0) / all.length;
  const naive2 = {
    smape: mean(({ methods }) => methods['naive2']!.smape),
    mase: mean(({ methods }) => methods['naive2']!.mase),
  };
  const owaOf = (name: string) =>
    owa(
      { smape: mean(({ methods }) => methods[name]!.smape), mase: mean(({ methods }) => methods[name]!.mase) },
      naive2,
    );
  report.note(
    `${all.length} series; sMAPE, MASE, OWA (members that cannot be fitted count as the seasonal naive forecast)`,
  );
  for (const name of Object.keys(all[0]!.methods))
    report.note(
      `${name.padEnd(18)} ${mean(({ methods }) => methods[name]!.smape)
        .toFixed(3)
        .padStart(7)} ${mean(({ methods }) => methods[name]!.mase)
        .toFixed(3)
        .padStart(7)} ${owaOf(name).toFixed(4).padStart(7)}`,
    );
  report.atMost('M4 hourly: OWA of the fused forecast, relative to MSTL’s', owaOf('fused') / owaOf('mstl'), 0.7);
  report.atMost(
    'M4 hourly: OWA of the fused forecast, relative to the seasonal naive forecast',
    owaOf('fused') / owaOf('seasonal_naive'),
    0.67,
  );
  report.atMost(
    'M4 hourly: OWA with the LSTM, relative to that without',
    owaOf('fused') / owaOf('fused without lstm'),
    1,
  );
  report.atMost(
    'M4 hourly: CPU seconds per series',
    mean(({ cpuSeconds }) => cpuSeconds),
    0.5,
  );
  const covered = mean(({ coverage }) => coverage);
  report.atLeast('M4 hourly: share of values in the 90 % interval', covered, 0.88);
  report.atMost('M4 hourly: maximum share of values in the 90 % interval', covered, 0.92);
  report.atMost(
    'M4 hourly: width of the interval, relative to MSTL’s own at the same coverage',
    mean(({ width }) => width) / widthAtCoverage(all, covered),
    1,
  );
  report.note(
    `MSTL’s own 90 % interval covers ${mean((scores) => mstlCoverage(scores, 1)).toFixed(4)}; median width ${median(all.map(({ width }) => width)).toFixed(2)} in units of MASE`,
  );
}

const mstlCoverage = ({ mstl }: SeriesScores, factor: number): number =>
  mstl.errors.reduce((inside, error, h) => inside + (error <= mstl.halfWidths[h]! * factor ? 1 : 0), 0) /
  mstl.errors.length;

/** Mean width of MSTL's own intervals, widened by the common factor that gives them our coverage. */
function widthAtCoverage(all: SeriesScores[], wanted: number): number {
  let [low, high] = [0.01, 100];
  for (let i = 0; i < 60; i += 1) {
    const factor = Math.sqrt(low * high);
    const covered = all.reduce((total, scores) => total + mstlCoverage(scores, factor), 0) / all.length;
    if (covered < wanted) low = factor;
    else high = factor;
  }
  const means = all.map(
    ({ mstl }) => mstl.halfWidths.reduce((total, half) => total + (2 * half) / mstl.halfWidths.length, 0) / mstl.scale,
  );
  return (high * means.reduce((total, value) => total + value, 0)) / all.length;
}
