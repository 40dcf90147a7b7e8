import { seededRandom } from '#kernel/rng.ts';
import type { LstmShape } from '#services/forecast/lstm/parameter-layout.ts';
import type { LabelledWindows } from '#services/forecast/lstm/train.ts';

/** Windows over waves of several lengths with a little noise; targets are the next values of the first features. */
export function labelledWindows({ window, features, outputs }: LstmShape, count: number): LabelledWindows {
  const random = seededRandom(11);
  const rows = count + window;
  const values = Float32Array.from(
    { length: rows * features },
    (_, i) => 0.5 + 0.4 * Math.sin(Math.floor(i / features) / (3 + (i % features))) + 0.05 * (random() - 0.5),
  );
  const starts = Int32Array.from({ length: count }, (_, i) => i);
  const targets = Float32Array.from(
    { length: count * outputs },
    (_, i) => values[(Math.floor(i / outputs) + window) * features + ((i % outputs) % features)]!,
  );
  return { values, rows, starts, targets };
}
