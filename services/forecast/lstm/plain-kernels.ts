import type { Kernels } from './kernel-functions.ts';

/** kernels.as in TypeScript: the reference for tests of the compiled kernels, and the fallback. */
export function plainKernels(f: Float32Array | Float64Array): Kernels {
  const ints = new Int32Array(f.length);
  const at = (index: number): number => f[index] as number;
  return {
    floats: f,
    ints,
    gemm: gemmOver(f),
    gemmTransposed: gemmTransposedOver(f),
    ...matrices(f, at),
    ...cells(f, at),
    ...elements(f, ints, at),
    ...gathering(f, ints),
  };
}

type Numbers = Float32Array | Float64Array;
type At = (index: number) => number;

// Eight named sums instead of an array: several times faster.
const gemmOver =
  (f: Numbers): Kernels['gemm'] =>
  (a, aStride, m, k8, w, c, cStride, n8, start) => {
    for (let q = 0; q < n8; q += 1)
      for (let row = 0; row < m; row += 1) {
        const to = ((c + q * cStride) >> 2) + row * 8;
        const first = start === 1 ? to : (start >> 2) + q * 8;
        let s0 = start === 0 ? 0 : f[first + 0]!;
        let s1 = start === 0 ? 0 : f[first + 1]!;
        let s2 = start === 0 ? 0 : f[first + 2]!;
        let s3 = start === 0 ? 0 : f[first + 3]!;
        let s4 = start === 0 ? 0 : f[first + 4]!;
        let s5 = start === 0 ? 0 : f[first + 5]!;
        let s6 = start === 0 ? 0 : f[first + 6]!;
        let s7 = start === 0 ? 0 : f[first + 7]!;
        let from = (w >> 2) + q * k8 * 64;
        for (let p = 0; p < k8; p += 1) {
          const x = ((a + p * aStride) >> 2) + row * 8;
          for (let k = x; k < x + 8; k += 1, from += 8) {
            const value = f[k]!;
            s0 += value * f[from + 0]!;
            s1 += value * f[from + 1]!;
            s2 += value * f[from + 2]!;
            s3 += value * f[from + 3]!;
            s4 += value * f[from + 4]!;
            s5 += value * f[from + 5]!;
            s6 += value * f[from + 6]!;
            s7 += value * f[from + 7]!;
          }
        }
        f[to + 0] = s0;
        f[to + 1] = s1;
        f[to + 2] = s2;
        f[to + 3] = s3;
        f[to + 4] = s4;
        f[to + 5] = s5;
        f[to + 6] = s6;
        f[to + 7] = s7;
      }
  };

const gemmTransposedOver =
  (f: Numbers): Kernels['gemmTransposed'] =>
  (a, aStride, m, k8, d, dStride, n8, g) => {
    for (let q = 0; q < n8; q += 1)
      for (let k = 0; k < k8 * 8; k += 1) {
        const to = (g >> 2) + (q * k8 * 8 + k) * 8;
        let s0 = f[to + 0]!;
        let s1 = f[to + 1]!;
        let s2 = f[to + 2]!;
        let s3 = f[to + 3]!;
        let s4 = f[to + 4]!;
        let s5 = f[to + 5]!;
        let s6 = f[to + 6]!;
        let s7 = f[to + 7]!;
        let x = ((a + (k >> 3) * aStride) >> 2) + (k & 7);
        const y = (d + q * dStride) >> 2;
        for (let from = y; from < y + m * 8; from += 8, x += 8) {
          const value = f[x]!;
          s0 += value * f[from + 0]!;
          s1 += value * f[from + 1]!;
          s2 += value * f[from + 2]!;
          s3 += value * f[from + 3]!;
          s4 += value * f[from + 4]!;
          s5 += value * f[from + 5]!;
          s6 += value * f[from + 6]!;
          s7 += value * f[from + 7]!;
        }
        f[to + 0] = s0;
        f[to + 1] = s1;
        f[to + 2] = s2;
        f[to + 3] = s3;
        f[to + 4] = s4;
        f[to + 5] = s5;
        f[to + 6] = s6;
        f[to + 7] = s7;
      }
  };

function matrices(f: Numbers, at: At): Pick<Kernels, 'transpose' | 'sumRows'> {
  return {
    transpose(w, k8, n8, t) {
      for (let n = 0; n < n8 * 8; n += 1)
        for (let k = 0; k < k8 * 8; k += 1)
          f[(t >> 2) + ((k >> 3) * n8 * 8 + n) * 8 + (k & 7)] = at((w >> 2) + ((n >> 3) * k8 * 8 + k) * 8 + (n & 7));
    },
    sumRows(d, dStride, m, n8, g) {
      for (let n = 0; n < n8 * 8; n += 1) {
        let sum = at((g >> 2) + n);
        for (let row = 0; row < m; row += 1) sum += at(((d + (n >> 3) * dStride) >> 2) + row * 8 + (n & 7));
        f[(g >> 2) + n] = sum;
      }
    },
  };
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

function cells(f: Numbers, at: At): Pick<Kernels, 'cellForward' | 'cellBackward'> {
  return {
    cellForward(z, zStride, m, h8, cPrevious, c, h, hStride) {
      const gate = (zStride * h8) >> 2;
      for (let p = 0; p < h8; p += 1)
        for (let e = 0; e < m * 8; e += 1) {
          const zi = ((z + p * zStride) >> 2) + e;
          const hi = ((p * hStride) >> 2) + e;
          const i = sigmoid(at(zi));
          const forget = sigmoid(at(zi + gate));
          const g = Math.tanh(at(zi + 2 * gate));
          const o = sigmoid(at(zi + 3 * gate));
          const cell = i * g + (cPrevious ? forget * at((cPrevious >> 2) + hi) : 0);
          f[zi] = i;
          f[zi + gate] = forget;
          f[zi + 2 * gate] = g;
          f[zi + 3 * gate] = o;
          f[(c >> 2) + hi] = cell;
          f[(h >> 2) + hi] = o * Math.tanh(cell);
        }
    },
    cellBackward(z, zStride, m, h8, cPrevious, c, dh, hStride, dc) {
      const gate = (zStride * h8) >> 2;
      for (let p = 0; p < h8; p += 1)
        for (let e = 0; e < m * 8; e += 1) {
          const zi = ((z + p * zStride) >> 2) + e;
          const hi = ((p * hStride) >> 2) + e;
          const carried = (dc >> 2) + p * m * 8 + e;
          const [i, forget, g, o] = [at(zi), at(zi + gate), at(zi + 2 * gate), at(zi + 3 * gate)];
          const above = at((dh >> 2) + hi);
          const t = Math.tanh(at((c >> 2) + hi));
          const dcell = at(carried) + above * o * (1 - t * t);
          f[zi] = dcell * g * i * (1 - i);
          f[zi + gate] = cPrevious ? dcell * at((cPrevious >> 2) + hi) * forget * (1 - forget) : 0;
          f[zi + 2 * gate] = dcell * i * (1 - g * g);
          f[zi + 3 * gate] = above * t * o * (1 - o);
          f[carried] = dcell * forget;
        }
    },
  };
}

function elements(
  f: Numbers,
  ints: Int32Array,
  at: At,
): Pick<Kernels, 'dropout' | 'multiply' | 'relu' | 'reluBackward' | 'sumSquares' | 'adam'> {
  return {
    dropout(x, y, mask, n, dropBelow, scale, state) {
      for (let e = 0; e < n; e += 1) {
        const lane = (state >> 2) + (e & 3);
        let s = ints[lane] as number;
        s ^= s << 13;
        s ^= s >>> 17;
        s ^= s << 5;
        ints[lane] = s;
        const kept = s >>> 0 >= dropBelow >>> 0 ? Math.fround(scale) : 0;
        f[(mask >> 2) + e] = kept;
        f[(y >> 2) + e] = at((x >> 2) + e) * kept;
      }
    },
    multiply(x, mask, y, n) {
      for (let e = 0; e < n; e += 1) f[(y >> 2) + e] = at((x >> 2) + e) * at((mask >> 2) + e);
    },
    relu(x, n) {
      for (let e = x >> 2; e < (x >> 2) + n; e += 1) f[e] = Math.max(at(e), 0);
    },
    reluBackward(d, x, n) {
      for (let e = 0; e < n; e += 1) if (at((x >> 2) + e) <= 0) f[(d >> 2) + e] = 0;
    },
    sumSquares(x, n) {
      let sum = 0;
      for (let e = x >> 2; e < (x >> 2) + n; e += 1) sum += at(e) ** 2;
      return sum;
    },
    adam(p, g, m, v, n, factor, rate, beta1, beta2, epsilon, correct1, correct2) {
      for (let e = 0; e < n; e += 1) {
        const d = at((g >> 2) + e) * factor;
        const mean = beta1 * at((m >> 2) + e) + (1 - beta1) * d;
        const square = beta2 * at((v >> 2) + e) + (1 - beta2) * d * d;
        f[(m >> 2) + e] = mean;
        f[(v >> 2) + e] = square;
        f[(p >> 2) + e] = at((p >> 2) + e) - (rate * correct1 * mean) / (Math.sqrt(square * correct2) + epsilon);
        f[(g >> 2) + e] = 0;
      }
    },
  };
}

function gathering(f: Numbers, ints: Int32Array): Pick<Kernels, 'gather'> {
  return {
    gather(series, seriesStride, k8, starts, count, steps, x) {
      let to = x >> 2;
      for (let p = 0; p < k8; p += 1)
        for (let t = 0; t < steps; t += 1)
          for (let b = 0; b < count; b += 1) {
            const from = ((series + p * seriesStride) >> 2) + ((ints[(starts >> 2) + b] as number) + t) * 8;
            f.copyWithin(to, from, from + 8);
            to += 8;
          }
    },
  };
}
