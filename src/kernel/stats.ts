/** Statistics over arrays of finite numbers. */

export const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
export const mean = (values: readonly number[]): number => sum(values) / values.length;

/** Sample standard deviation (n - 1); 0 for fewer than two values. */
export function standardDeviation(values: readonly number[]): number {
  if (values.length < 2) return 0;
  const center = mean(values);
  return Math.sqrt(values.reduce((total, value) => total + (value - center) ** 2, 0) / (values.length - 1));
}

/** Linear interpolation between order statistics (type 7, as NumPy and R do it). `sorted` ascending, not empty. */
export function quantile(sorted: readonly number[], share: number): number {
  const at = (sorted.length - 1) * share;
  const [low, high] = [sorted[Math.floor(at)] ?? Number.NaN, sorted[Math.ceil(at)] ?? Number.NaN];
  return low + (high - low) * (at - Math.floor(at));
}

export const median = (values: readonly number[]): number =>
  quantile(
    [...values].sort((a, b) => a - b),
    0.5,
  );

/**
 * Lag-1 autocorrelation, corrected for the bias of short series: an estimate from n values is (1 + 3r)/n too low on
 * average (Kendall 1954), and lower still for the residuals of a fit (`bias` × that). Clamped to 0 to 0.9: a negative
 * value would only make tests more conservative than needed.
 */
export function lagOneCorrelation(values: readonly number[], bias = 1): number {
  const center = mean(values);
  const spread = values.reduce((total, value) => total + (value - center) ** 2, 0);
  if (spread === 0) return 0;
  const shared = values.slice(1).reduce((total, value, i) => total + (value - center) * ((values[i] ?? 0) - center), 0);
  const raw = shared / spread;
  return Math.min(0.9, Math.max(0, raw + (bias * (1 + 3 * raw)) / values.length));
}

/** P(Z > z) of the standard normal; relative error below 1.2e-7 (erfc of Numerical Recipes 6.2). */
export function normalUpper(z: number): number {
  const x = Math.abs(z) / Math.SQRT2;
  const t = 2 / (2 + x);
  const poly =
    -1.26551223 +
    t *
      (1.00002368 +
        t *
          (0.37409196 +
            t *
              (0.09678418 +
                t *
                  (-0.18628806 +
                    t * (0.27886807 + t * (-1.13520398 + t * (1.48851587 + t * (-0.82215223 + t * 0.17087277))))))));
  const tail = (t * Math.exp(-x * x + poly)) / 2;
  return z >= 0 ? tail : 1 - tail;
}

/** The z with P(Z > z) = p, for 0 < p < 1 (Acklam’s rational approximation, relative error below 1.2e-9). */
export function normalUpperQuantile(p: number): number {
  const a = [
    -39.69683028665376, 220.9460984245205, -275.9285104469687, 138.357751867269, -30.66479806614716, 2.506628277459239,
  ];
  const b = [-54.47609879822406, 161.5858368580409, -155.6989798598866, 66.80131188771972, -13.28068155288572];
  const c = [
    -0.007784894002430293, -0.3223964580411365, -2.400758277161838, -2.549732539343734, 4.374664141464968,
    2.938163982698783,
  ];
  const d = [0.007784695709041462, 0.3224671290700398, 2.445134137142996, 3.754408661907416];
  const series = (factors: number[], x: number) => factors.reduce((total, factor) => total * x + factor, 0);
  const tail = (q: number) => {
    const r = Math.sqrt(-2 * Math.log(q));
    return series(c, r) / (series(d, r) * r + 1);
  };
  if (p > 1 - 0.02425) return tail(1 - p);
  if (p < 0.02425) return -tail(p);
  const q = 0.5 - p;
  const r = q * q;
  return (series(a, r) * q) / (series(b, r) * r + 1);
}

/** ln of the gamma function for x > 0 (Lanczos, g = 7). */
function logGamma(x: number): number {
  const factors = [
    676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059, 12.507343278686905,
    -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
  ];
  const series = factors.reduce((total, factor, i) => total + factor / (x + i), 0.99999999999980993);
  const t = x + 6.5;
  return 0.5 * Math.log(2 * Math.PI) + (x - 0.5) * Math.log(t) - t + Math.log(series);
}

/**
 * P(X > x) of chi-square with the given degrees of freedom: upper incomplete gamma function (Numerical Recipes 6.2).
 */
export function chiSquareUpper(x: number, degrees: number): number {
  if (x <= 0) return 1;
  const [a, half] = [degrees / 2, x / 2];
  const front = Math.exp(-half + a * Math.log(half) - logGamma(a));
  if (half < a + 1) {
    let [term, total] = [1 / a, 1 / a];
    for (let n = 1; n < 1000 && term > total * 1e-15; n += 1) {
      term *= half / (a + n);
      total += term;
    }
    return Math.max(0, 1 - front * total);
  }
  // Lentz’s continued fraction.
  let b = half + 1 - a;
  let c = 1e300;
  let d = 1 / b;
  let h = d;
  for (let i = 1; i < 1000; i += 1) {
    const an = -i * (i - a);
    b += 2;
    d = 1 / (an * d + b || 1e-300);
    c = b + an / c || 1e-300;
    h *= d * c;
    if (Math.abs(d * c - 1) < 1e-15) break;
  }
  return front * h;
}

/** The x with P(X > x) = p of chi-square, by bisection. */
export function chiSquareUpperQuantile(p: number, degrees: number): number {
  let [low, high] = [0, degrees + 20];
  while (chiSquareUpper(high, degrees) > p) high *= 2;
  for (let i = 0; i < 100; i += 1) {
    const middle = (low + high) / 2;
    if (chiSquareUpper(middle, degrees) > p) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** P(K > x) of Kolmogorov’s distribution: 2 sum (-1)^(j-1) exp(-2 j² x²). */
export function kolmogorovUpper(x: number): number {
  if (x < 0.2) return 1;
  let total = 0;
  for (let j = 1; j <= 100; j += 1) {
    const term = Math.exp(-2 * j * j * x * x);
    total += j % 2 === 1 ? term : -term;
    if (term < 1e-17) break;
  }
  return Math.min(1, Math.max(0, 2 * total));
}

/**
 * p-values adjusted for multiple tests (Benjamini and Hochberg 1995): rejecting those at or below q bounds the false
 * discovery rate by q. Same order as the input.
 */
export function benjaminiHochberg(pValues: readonly number[]): number[] {
  const order = pValues.map((p, index) => ({ p, index })).sort((a, b) => b.p - a.p);
  const adjusted = Array.from(pValues, () => 1);
  let least = 1;
  for (const [place, { p, index }] of order.entries()) {
    least = Math.min(least, (p * pValues.length) / (pValues.length - place));
    adjusted[index] = least;
  }
  return adjusted;
}

/** P(T > t) of Student's t with whole degrees of freedom (Abramowitz and Stegun 26.7.3 and 26.7.4). */
export function studentUpper(t: number, degrees: number): number {
  const angle = Math.atan(Math.abs(t) / Math.sqrt(degrees));
  const [sine, cosine] = [Math.sin(angle), Math.cos(angle)];
  let [sum, term] = [0, degrees % 2 === 1 ? cosine : 1];
  for (let k = degrees % 2 === 1 ? 1 : 0; k <= degrees - 2; k += 2) {
    sum += term;
    term *= (cosine * cosine * (k + 1)) / (k + 2);
  }
  const within = degrees % 2 === 1 ? (2 / Math.PI) * (angle + sine * sum) : sine * sum;
  return t >= 0 ? (1 - within) / 2 : (1 + within) / 2;
}

/** The t with P(T > t) = p of Student's t, for 0 < p < 0.5, by bisection. */
export function studentUpperQuantile(p: number, degrees: number): number {
  let [low, high] = [0, 10];
  while (studentUpper(high, degrees) > p && high < 1e9) high *= 2;
  for (let i = 0; i < 80; i += 1) {
    const middle = (low + high) / 2;
    if (studentUpper(middle, degrees) > p) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}
