import { readFileSync } from 'node:fs';
import { initSync, MSTL } from '@bsull/augurs/mstl';
import type { Member } from './member.ts';

/**
 * Multiple seasonal-trend decomposition by LOESS with a non-seasonal ETS on the remainder (Bandara, Hyndman and
 * Bergmeir 2021), by augurs. `seasons`: how many of the series' periods are used.
 */
export const mstl = (seasons: number): Member => ({
  name: 'mstl',
  needs: ({ periods }) => 2 * (periods[seasons - 1] ?? Number.POSITIVE_INFINITY) + 1,
  fit: ({ values, periods }) => {
    begin();
    // Standardised, since the smoothing fails on very large and very small numbers.
    const { center, scale } = spread(values);
    const model = MSTL.ets(Uint32Array.from(periods.slice(0, seasons)));
    try {
      model.fit(values.map((value) => (value - center) / scale));
      // Predicts at once, so that the model's memory can be freed.
      const ahead = Float64Array.from(model.predict(longest).point, (value) => center + scale * value);
      return {
        predict: (horizon) => {
          if (horizon > longest) throw new RangeError(`at most ${longest} steps`);
          return ahead.slice(0, horizon);
        },
      };
    } finally {
      model.free();
    }
  },
});

const longest = 3_000;

let begun = false;
/** The package's own file lookup does not work in Node. */
function begin(): void {
  if (begun) return;
  initSync({ module: readFileSync(new URL('mstl_bg.wasm', import.meta.resolve('@bsull/augurs/mstl'))) });
  begun = true;
}

function spread(values: Float64Array): { center: number; scale: number } {
  const center = values.reduce((total, value) => total + value / values.length, 0);
  const scale = Math.sqrt(values.reduce((total, value) => total + (value - center) ** 2 / values.length, 0));
  return { center, scale: scale > 0 ? scale : 1 };
}
