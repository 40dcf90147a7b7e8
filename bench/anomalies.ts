import { mean, median, normalUpper } from '#kernel/stats.ts';
import { createDetector } from '#services/analytics/analysis/detector.ts';
import { type NabFile, nabScore, profiles, readNab } from './anomalies/nab.ts';
import { alarmsPerThousand } from './anomalies/production.ts';
import { hasData } from './support/data.ts';
import type { Report } from './support/report.ts';

/** Anomaly detection by NAB's scoring, compared with two rivals; false alarms on production servers; speed. */
export async function bench(report: Report, only?: string): Promise<void> {
  if (only !== undefined && only !== 'nab') return;
  benchNab(report);
  const alarms = 'alarms in a thousand points of production servers (what the threshold was set by)';
  if (hasData(report, alarms, 'smd', 'bitbrains')) report.atMost(alarms, alarmsPerThousand(), 1.1);
}

function benchNab(report: Report): void {
  if (!hasData(report, 'scores on NAB', 'nab')) return;
  const files = readNab();
  const begun = performance.now();
  const ours = files.map((file) => ({ file, detections: detect(file) }));
  const seconds = (performance.now() - begun) / 1000;
  const points = files.reduce((total, { values }) => total + values.length, 0);
  report.note(
    `anomalies: ${files.length} files of NAB, ${points} points, ${((seconds / points) * 1e6).toFixed(1)} µs a point`,
  );
  const rivals = {
    'windowed Gaussian': files.map((file) => ({ file, detections: windowedGaussian(file) })),
    'z-score above 2.5': files.map((file) => ({ file, detections: seedRule(file) })),
  };
  const scoreOf = (found: typeof ours, profile: keyof typeof profiles) => nabScore(found, profiles[profile]);
  for (const [name, found] of Object.entries({ ours, ...rivals }))
    report.note(
      `${name.padEnd(26)} ${Object.keys(profiles)
        .map((profile) => `${profile} ${scoreOf(found, profile as keyof typeof profiles).toFixed(1)}`)
        .join(', ')}, ${found.reduce((total, { detections }) => total + detections.length, 0)} alarms`,
    );
  report.atLeast('NAB, standard profile', scoreOf(ours, 'standard'), 57);
  report.atLeast('NAB, low-FP profile', scoreOf(ours, 'low FP'), 45);
  for (const [name, found] of Object.entries(rivals))
    report.atLeast(`NAB, standard, points above ${name}`, scoreOf(ours, 'standard') - scoreOf(found, 'standard'), 20);
}

function detect({ times, values }: NabFile): number[] {
  const detector = createDetector(median(times.slice(1).map((time, i) => time - times[i]!)));
  return values.flatMap((value, i) => (detector.see(times[i]!, value).alarm ? [i] : []));
}

/**
 * NAB's own detector: a normal distribution over the last 6,400 values, updated every 100; its published threshold is
 * 1.0.
 */
function windowedGaussian({ values }: NabFile): number[] {
  let window: number[] = [];
  let step: number[] = [];
  let [center, spread] = [0, 1];
  const renew = () => {
    center = mean(window);
    spread = Math.sqrt(mean(window.map((value) => (value - center) ** 2))) || 1e-6;
  };
  return values.flatMap((value, i) => {
    const score = window.length > 0 ? 1 - normalUpper(Math.abs(value - center) / spread) : 0;
    if (window.length < 6_400) {
      window.push(value);
      renew();
    } else if (step.push(value) === 100) {
      window = [...window.slice(100), ...step];
      step = [];
      renew();
    }
    return score >= 1 ? [i] : [];
  });
}

function seedRule({ values }: NabFile): number[] {
  const center = mean(values);
  const spread = Math.sqrt(mean(values.map((value) => (value - center) ** 2)));
  return values.flatMap((value, i) => (Math.abs(value - center) > 2.5 * spread ? [i] : []));
}
