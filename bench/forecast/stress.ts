import { availableParallelism } from 'node:os';
import { Piscina } from 'piscina';
import { mean } from '#kernel/stats.ts';
import type { Report } from '../support/report.ts';
import type { StressScores } from './stress.worker.ts';
import { stressClasses } from './stress-series.ts';

/** Series per class, whose numbers were not used for development. */
const [count, firstSeed] = [100, 10_000];

/** Intervals and confidence for series that end in an unusual way or are mostly one value. */
export async function benchStress(report: Report): Promise<void> {
  const pool = new Piscina({
    filename: new URL('./stress.worker.ts', import.meta.url).href,
    maxThreads: availableParallelism(),
  });
  report.note('class                          in the 90 % interval  confidence  within 20 %  width (sd)');
  for (const name of stressClasses) {
    const scores = (await Promise.all(
      Array.from({ length: count }, (_, i) => pool.run({ name, seed: firstSeed + i })),
    )) as StressScores[];
    const of = (field: keyof StressScores) => mean(scores.map((each) => each[field]));
    const digits = (field: keyof StressScores) => of(field).toFixed(3).padStart(12);
    report.note(
      `${name.padEnd(30)} ${digits('coverage')}        ${digits('confidence')} ${digits('near')} ${digits('width')}`,
    );
    report.atLeast(`${name}: share of values in the 90 % interval`, of('coverage'), 0.85);
    report.atMost(`${name}: confidence above the share of values within 20 %`, of('confidence') - of('near'), 0.1);
  }
  await pool.destroy();
}
