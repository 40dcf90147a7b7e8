import { normal, seededRandom } from '#kernel/rng.ts';

/**
 * Random series whose end is unlike most of their history, or that are mostly one value. Each has a history and the
 * values that follow, from the same process.
 */
export type StressSeries = { history: number[]; actual: number[] };

type Random = () => number;
const between = (random: Random, low: number, high: number): number => low + (high - low) * random();
const whole = (random: Random, low: number, high: number): number => Math.floor(between(random, low, high + 1));

/** A demand on few days; the history ends with one. */
function rareDemand(random: Random, n: number, ahead: number): StressSeries {
  const [chance, most] = [between(random, 0.03, 0.1), whole(random, 3, 20)];
  const all = Array.from({ length: n + ahead }, (_, i) =>
    i === n - 1 || random() < chance ? whole(random, 1, most) : 0,
  );
  return { history: all.slice(0, n), actual: all.slice(n) };
}

/** Errors per hour: few, with bursts of some hours; the history ends within a burst. */
function bursts(random: Random, n: number, ahead: number): StressSeries {
  const [base, height, every, mean] = [
    between(random, 0.2, 5),
    between(random, 20, 200),
    between(random, 25, 70),
    between(random, 1.5, 6),
  ];
  const states: boolean[] = [];
  for (let i = 0, on = false; i < n + ahead; i += 1) {
    on = on ? random() > 1 / mean : random() < 1 / every;
    states.push(on || i === n - 1);
  }
  const all = states.map((on) => Math.max(0, Math.round((on ? height : base) * (1 + 0.3 * normal(random)))));
  return { history: all.slice(0, n), actual: all.slice(n) };
}

/** A constant that changes in the last one to three values; afterwards it stays, or returns. */
function constantThenChange(random: Random, n: number, ahead: number): StressSeries {
  const [level, changed, since, stays] = [
    whole(random, 1, 1000),
    whole(random, 1, 3000),
    whole(random, 1, 3),
    random() < 0.5,
  ];
  const history = Array.from({ length: n }, (_, i) => (i >= n - since ? changed : level));
  return { history, actual: Array.from({ length: ahead }, () => (stays ? changed : level)) };
}

/** Autocorrelated noise around a level that moves shortly before the end, and stays. */
function levelShift(random: Random, n: number, ahead: number): StressSeries {
  const [level, spread, share] = [between(random, 50, 500), between(random, 1, 10), between(random, 0, 0.7)];
  const [since, shift] = [whole(random, 1, 12), between(random, 5, 20) * (random() < 0.5 ? -1 : 1)];
  let noise = 0;
  const all = Array.from({ length: n + ahead }, (_, i) => {
    noise = share * noise + normal(random);
    return level + spread * (noise + (i >= n - since ? shift : 0));
  });
  return { history: all.slice(0, n), actual: all.slice(n) };
}

/** A counter, with or without resets to zero. */
function counter(random: Random, n: number, ahead: number): StressSeries {
  const [rate, spread, resets] = [between(random, 0.5, 50), between(random, 0.1, 1.5), random() < 0.5 ? 0.02 : 0];
  let total = 0;
  const all = Array.from({ length: n + ahead }, () => {
    total = random() < resets ? 0 : total + Math.max(0, Math.round(rate * (1 + spread * normal(random))));
    return total;
  });
  return { history: all.slice(0, n), actual: all.slice(n) };
}

/** Zeros with a share of positive values of very different sizes. */
function zeroInflated(random: Random, n: number, ahead: number): StressSeries {
  const [share, spread] = [between(random, 0.2, 0.5), between(random, 0.3, 1)];
  const all = Array.from({ length: n + ahead }, () =>
    random() < share ? Math.round(100 * Math.exp(spread * normal(random))) / 10 : 0,
  );
  return { history: all.slice(0, n), actual: all.slice(n) };
}

/** A noisy trend that turns shortly before the end, and goes on. */
function trendBreak(random: Random, n: number, ahead: number): StressSeries {
  const [before, after] = [between(random, -1, 1), between(random, -3, 3)];
  const [since, spread, level] = [whole(random, 5, 24), between(random, 0.3, 3), between(random, 500, 900)];
  const all = Array.from(
    { length: n + ahead },
    (_, i) => level + before * Math.min(i, n - since) + after * Math.max(0, i - n + since) + spread * normal(random),
  );
  return { history: all.slice(0, n), actual: all.slice(n) };
}

/** Daily cycles with noise and a slope: nothing unusual, for comparison. */
function ordinary(random: Random, n: number, ahead: number): StressSeries {
  const [height, spread, slope] = [between(random, 0, 30), between(random, 1, 8), between(random, -0.1, 0.1)];
  const all = Array.from(
    { length: n + ahead },
    (_, i) => 200 + slope * i + height * Math.sin((2 * Math.PI * i) / 24) + spread * normal(random),
  );
  return { history: all.slice(0, n), actual: all.slice(n) };
}

const classes = {
  'rare demand that ends on one': rareDemand,
  'bursts that end in one': bursts,
  'constant, then a change': constantThenChange,
  'level shift at the end': levelShift,
  counter,
  'zero-inflated': zeroInflated,
  'trend break': trendBreak,
  ordinary,
};
export type StressClass = keyof typeof classes;
export const stressClasses = Object.keys(classes) as StressClass[];

/** The series with the number `seed` of a class: 100 to 400 values, and those of the next `ahead` steps. */
export function stressSeries(name: StressClass, seed: number, ahead: number): StressSeries {
  const random = seededRandom(1_000 * stressClasses.indexOf(name) + seed);
  return classes[name](random, whole(random, 100, 400), ahead);
}
