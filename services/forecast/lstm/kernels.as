// The LSTM's inner loops, as WebAssembly SIMD. `npm run build:kernels` compiles this file twice: plain SIMD (kernels.wasm,
// the same bits on every machine) and with fused multiply-add (kernels-fma.wasm, a quarter faster at best, last bits differ
// between machines). plain-kernels.ts is the same in TypeScript.
//
// Every matrix is kept in panels of 8 columns: the element (row, column) of a matrix with `rows` rows stands at
// ((column >> 3) * rows + row) * 8 + (column & 7). So a tile of C is contiguous, weights need no packing, and all inner
// loops read forward. Widths are padded to 8. Addresses are bytes; a stride is the bytes from one panel to the next.

// @ts-ignore: decorator
@inline
function madd(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c);
  return f32x4.add(f32x4.mul(a, b), c);
}

// @ts-ignore: decorator
@inline
const ZERO_START: usize = 0;
// @ts-ignore: decorator
@inline
const ADD_TO_C: usize = 1;

/**
 * C = start + A · W. A: m rows of k columns (k8 panels), W: k rows of n columns (n8 panels, one after another),
 * start: 0 = zeros, 1 = what C holds, else the address of n biases.
 */
export function gemm(a: usize, aStride: usize, m: i32, k8: i32, w: usize, c: usize, cStride: usize, n8: i32, start: usize): void {
  let q = 0;
  if (m == 1) {
    for (; q + 4 <= n8; q += 4) {
      row32(a, aStride, k8, w + <usize>q * (<usize>k8 << 8), c + <usize>q * cStride, cStride, start > ADD_TO_C ? start + (<usize>q << 5) : start);
    }
  }
  for (; q < n8; q++) {
    const wq = w + <usize>q * (<usize>k8 << 8);
    const from = start > ADD_TO_C ? start + (<usize>q << 5) : start;
    let at = a;
    let ct = c + <usize>q * cStride;
    let rows = m;
    while (rows >= 6 && rows != 8) {
      tile6(at, aStride, k8, wq, ct, from);
      at += 192;
      ct += 192;
      rows -= 6;
    }
    while (rows >= 4) {
      tile4(at, aStride, k8, wq, ct, from);
      at += 128;
      ct += 128;
      rows -= 4;
    }
    while (rows > 0) {
      tile1(at, aStride, k8, wq, ct, from);
      at += 32;
      ct += 32;
      rows -= 1;
    }
  }
}

function tile6(a: usize, aStride: usize, k8: i32, w: usize, c: usize, start: usize): void {
  let c00 = f32x4.splat(0), c01 = c00, c10 = c00, c11 = c00, c20 = c00, c21 = c00;
  let c30 = c00, c31 = c00, c40 = c00, c41 = c00, c50 = c00, c51 = c00;
  if (start == ADD_TO_C) {
    c00 = v128.load(c, 0); c01 = v128.load(c, 16);
    c10 = v128.load(c, 32); c11 = v128.load(c, 48);
    c20 = v128.load(c, 64); c21 = v128.load(c, 80);
    c30 = v128.load(c, 96); c31 = v128.load(c, 112);
    c40 = v128.load(c, 128); c41 = v128.load(c, 144);
    c50 = v128.load(c, 160); c51 = v128.load(c, 176);
  } else if (start != ZERO_START) {
    c00 = v128.load(start, 0); c01 = v128.load(start, 16);
    c10 = c00; c11 = c01; c20 = c00; c21 = c01; c30 = c00; c31 = c01; c40 = c00; c41 = c01; c50 = c00; c51 = c01;
  }
  for (let p = 0; p < k8; p++) {
    let at = a;
    const end = w + 256;
    while (w < end) {
      let b0 = v128.load(w, 0);
      let b1 = v128.load(w, 16);
      let x: v128;
      x = v128.load32_splat(at, 0);
      c00 = madd(x, b0, c00); c01 = madd(x, b1, c01);
      x = v128.load32_splat(at, 32);
      c10 = madd(x, b0, c10); c11 = madd(x, b1, c11);
      x = v128.load32_splat(at, 64);
      c20 = madd(x, b0, c20); c21 = madd(x, b1, c21);
      x = v128.load32_splat(at, 96);
      c30 = madd(x, b0, c30); c31 = madd(x, b1, c31);
      x = v128.load32_splat(at, 128);
      c40 = madd(x, b0, c40); c41 = madd(x, b1, c41);
      x = v128.load32_splat(at, 160);
      c50 = madd(x, b0, c50); c51 = madd(x, b1, c51);
      b0 = v128.load(w, 32);
      b1 = v128.load(w, 48);
      x = v128.load32_splat(at, 4);
      c00 = madd(x, b0, c00); c01 = madd(x, b1, c01);
      x = v128.load32_splat(at, 36);
      c10 = madd(x, b0, c10); c11 = madd(x, b1, c11);
      x = v128.load32_splat(at, 68);
      c20 = madd(x, b0, c20); c21 = madd(x, b1, c21);
      x = v128.load32_splat(at, 100);
      c30 = madd(x, b0, c30); c31 = madd(x, b1, c31);
      x = v128.load32_splat(at, 132);
      c40 = madd(x, b0, c40); c41 = madd(x, b1, c41);
      x = v128.load32_splat(at, 164);
      c50 = madd(x, b0, c50); c51 = madd(x, b1, c51);
      at += 8;
      w += 64;
    }
    a += aStride;
  }
  v128.store(c, c00, 0); v128.store(c, c01, 16);
  v128.store(c, c10, 32); v128.store(c, c11, 48);
  v128.store(c, c20, 64); v128.store(c, c21, 80);
  v128.store(c, c30, 96); v128.store(c, c31, 112);
  v128.store(c, c40, 128); v128.store(c, c41, 144);
  v128.store(c, c50, 160); v128.store(c, c51, 176);
}

function tile4(a: usize, aStride: usize, k8: i32, w: usize, c: usize, start: usize): void {
  let c00 = f32x4.splat(0), c01 = c00, c10 = c00, c11 = c00, c20 = c00, c21 = c00, c30 = c00, c31 = c00;
  if (start == ADD_TO_C) {
    c00 = v128.load(c, 0); c01 = v128.load(c, 16);
    c10 = v128.load(c, 32); c11 = v128.load(c, 48);
    c20 = v128.load(c, 64); c21 = v128.load(c, 80);
    c30 = v128.load(c, 96); c31 = v128.load(c, 112);
  } else if (start != ZERO_START) {
    c00 = v128.load(start, 0); c01 = v128.load(start, 16);
    c10 = c00; c11 = c01; c20 = c00; c21 = c01; c30 = c00; c31 = c01;
  }
  for (let p = 0; p < k8; p++) {
    let at = a;
    const end = w + 256;
    while (w < end) {
      let b0 = v128.load(w, 0);
      let b1 = v128.load(w, 16);
      let x: v128;
      x = v128.load32_splat(at, 0);
      c00 = madd(x, b0, c00); c01 = madd(x, b1, c01);
      x = v128.load32_splat(at, 32);
      c10 = madd(x, b0, c10); c11 = madd(x, b1, c11);
      x = v128.load32_splat(at, 64);
      c20 = madd(x, b0, c20); c21 = madd(x, b1, c21);
      x = v128.load32_splat(at, 96);
      c30 = madd(x, b0, c30); c31 = madd(x, b1, c31);
      b0 = v128.load(w, 32);
      b1 = v128.load(w, 48);
      x = v128.load32_splat(at, 4);
      c00 = madd(x, b0, c00); c01 = madd(x, b1, c01);
      x = v128.load32_splat(at, 36);
      c10 = madd(x, b0, c10); c11 = madd(x, b1, c11);
      x = v128.load32_splat(at, 68);
      c20 = madd(x, b0, c20); c21 = madd(x, b1, c21);
      x = v128.load32_splat(at, 100);
      c30 = madd(x, b0, c30); c31 = madd(x, b1, c31);
      at += 8;
      w += 64;
    }
    a += aStride;
  }
  v128.store(c, c00, 0); v128.store(c, c01, 16);
  v128.store(c, c10, 32); v128.store(c, c11, 48);
  v128.store(c, c20, 64); v128.store(c, c21, 80);
  v128.store(c, c30, 96); v128.store(c, c31, 112);
}

function tile1(a: usize, aStride: usize, k8: i32, w: usize, c: usize, start: usize): void {
  let c0 = f32x4.splat(0), c1 = c0;
  if (start == ADD_TO_C) {
    c0 = v128.load(c, 0); c1 = v128.load(c, 16);
  } else if (start != ZERO_START) {
    c0 = v128.load(start, 0); c1 = v128.load(start, 16);
  }
  for (let p = 0; p < k8; p++) {
    let at = a;
    const end = w + 256;
    while (w < end) {
      const x = v128.load32_splat(at, 0);
      c0 = madd(x, v128.load(w, 0), c0);
      c1 = madd(x, v128.load(w, 16), c1);
      at += 4;
      w += 32;
    }
    a += aStride;
  }
  v128.store(c, c0, 0); v128.store(c, c1, 16);
}

/** One row and four panels of columns at once: what a single window needs. */
function row32(a: usize, aStride: usize, k8: i32, w: usize, c: usize, cStride: usize, start: usize): void {
  const wStride = <usize>k8 << 8;
  let c0 = f32x4.splat(0), c1 = c0, c2 = c0, c3 = c0, c4 = c0, c5 = c0, c6 = c0, c7 = c0;
  if (start == ADD_TO_C) {
    c0 = v128.load(c, 0); c1 = v128.load(c, 16);
    c2 = v128.load(c + cStride, 0); c3 = v128.load(c + cStride, 16);
    c4 = v128.load(c + 2 * cStride, 0); c5 = v128.load(c + 2 * cStride, 16);
    c6 = v128.load(c + 3 * cStride, 0); c7 = v128.load(c + 3 * cStride, 16);
  } else if (start != ZERO_START) {
    c0 = v128.load(start, 0); c1 = v128.load(start, 16); c2 = v128.load(start, 32); c3 = v128.load(start, 48);
    c4 = v128.load(start, 64); c5 = v128.load(start, 80); c6 = v128.load(start, 96); c7 = v128.load(start, 112);
  }
  let w1 = w + wStride;
  let w2 = w1 + wStride;
  let w3 = w2 + wStride;
  for (let p = 0; p < k8; p++) {
    let at = a;
    const end = w + 256;
    while (w < end) {
      const x = v128.load32_splat(at, 0);
      c0 = madd(x, v128.load(w, 0), c0); c1 = madd(x, v128.load(w, 16), c1);
      c2 = madd(x, v128.load(w1, 0), c2); c3 = madd(x, v128.load(w1, 16), c3);
      c4 = madd(x, v128.load(w2, 0), c4); c5 = madd(x, v128.load(w2, 16), c5);
      c6 = madd(x, v128.load(w3, 0), c6); c7 = madd(x, v128.load(w3, 16), c7);
      at += 4;
      w += 32; w1 += 32; w2 += 32; w3 += 32;
    }
    a += aStride;
  }
  v128.store(c, c0, 0); v128.store(c, c1, 16);
  v128.store(c + cStride, c2, 0); v128.store(c + cStride, c3, 16);
  v128.store(c + 2 * cStride, c4, 0); v128.store(c + 2 * cStride, c5, 16);
  v128.store(c + 3 * cStride, c6, 0); v128.store(c + 3 * cStride, c7, 16);
}

// So many rows at a time that both factors stay in the first-level cache.
// @ts-ignore: decorator
@inline
const CHUNK: i32 = 96;

/** G += Aᵀ · D, the gradient of weights. A: m rows of k8 panels, D: m rows of n8 panels, G: k rows of n8 panels. */
export function gemmTransposed(a: usize, aStride: usize, m: i32, k8: i32, d: usize, dStride: usize, n8: i32, g: usize): void {
  for (let done = 0; done < m; done += CHUNK) {
    const rows = min(CHUNK, m - done);
    for (let q = 0; q < n8; q++) {
      const dq = d + <usize>q * dStride;
      let gq = g + <usize>q * (<usize>k8 << 8);
      let at = a;
      for (let p = 0; p < k8; p++) {
        outer4(at, dq, rows, gq);
        outer4(at + 16, dq, rows, gq + 128);
        at += aStride;
        gq += 256;
      }
    }
    a += <usize>rows << 5;
    d += <usize>rows << 5;
  }
}

// @ts-ignore: decorator
@inline
function outer4(a: usize, d: usize, rows: i32, g: usize): void {
  let g00 = v128.load(g, 0), g01 = v128.load(g, 16);
  let g10 = v128.load(g, 32), g11 = v128.load(g, 48);
  let g20 = v128.load(g, 64), g21 = v128.load(g, 80);
  let g30 = v128.load(g, 96), g31 = v128.load(g, 112);
  const end = d + (<usize>rows << 5);
  while (d < end) {
    const b0 = v128.load(d, 0);
    const b1 = v128.load(d, 16);
    let x = v128.load32_splat(a, 0);
    g00 = madd(x, b0, g00); g01 = madd(x, b1, g01);
    x = v128.load32_splat(a, 4);
    g10 = madd(x, b0, g10); g11 = madd(x, b1, g11);
    x = v128.load32_splat(a, 8);
    g20 = madd(x, b0, g20); g21 = madd(x, b1, g21);
    x = v128.load32_splat(a, 12);
    g30 = madd(x, b0, g30); g31 = madd(x, b1, g31);
    a += 32;
    d += 32;
  }
  v128.store(g, g00, 0); v128.store(g, g01, 16);
  v128.store(g, g10, 32); v128.store(g, g11, 48);
  v128.store(g, g20, 64); v128.store(g, g21, 80);
  v128.store(g, g30, 96); v128.store(g, g31, 112);
}

/** T = Wᵀ. W: k8 * 8 rows of n8 panels; T: n8 * 8 rows of k8 panels. */
export function transpose(w: usize, k8: i32, n8: i32, t: usize): void {
  for (let q = 0; q < n8; q++) {
    for (let k = 0; k < k8 << 3; k++) {
      const from = w + ((<usize>q * (<usize>k8 << 3) + k) << 5);
      const to = t + (((<usize>(k >> 3) * (<usize>n8 << 3) + (<usize>q << 3)) << 3) + (k & 7) << 2);
      for (let j: usize = 0; j < 8; j++) store<f32>(to + (j << 5), load<f32>(from + (j << 2)));
    }
  }
}

/** g[n] += the sums of the columns of D: the gradient of biases. */
export function sumRows(d: usize, dStride: usize, m: i32, n8: i32, g: usize): void {
  for (let q = 0; q < n8; q++) {
    let at = d + <usize>q * dStride;
    let s0 = v128.load(g, 0), s1 = v128.load(g, 16);
    for (let r = 0; r < m; r++) {
      s0 = f32x4.add(s0, v128.load(at, 0));
      s1 = f32x4.add(s1, v128.load(at, 16));
      at += 32;
    }
    v128.store(g, s0, 0); v128.store(g, s1, 16);
    g += 32;
  }
}

// Constants four times each in memory: loading one costs an instruction, building one of a number three.
const C: usize = memory.data<f32>(
  [
    -87, -87, -87, -87, 87, 87, 87, 87,
    1.44269504088896341, 1.44269504088896341, 1.44269504088896341, 1.44269504088896341,
    12582912, 12582912, 12582912, 12582912,
    -0.69314718055994531, -0.69314718055994531, -0.69314718055994531, -0.69314718055994531,
    0.001388888888888889, 0.001388888888888889, 0.001388888888888889, 0.001388888888888889,
    0.008333333333333333, 0.008333333333333333, 0.008333333333333333, 0.008333333333333333,
    0.041666666666666664, 0.041666666666666664, 0.041666666666666664, 0.041666666666666664,
    0.16666666666666666, 0.16666666666666666, 0.16666666666666666, 0.16666666666666666,
    0.5, 0.5, 0.5, 0.5, 1, 1, 1, 1, 2, 2, 2, 2,
  ],
  16,
);

// @ts-ignore: decorator
@inline
function constant(index: usize): v128 {
  return v128.load(C + (index << 4));
}

/**
 * e to the -x: -x = n ln 2 + r, Taylor's series for |r| <= ln(2) / 2 (error below 1.2e-7), 2 to the n by the exponent's
 * bits. Adding 1.5 · 2^23 rounds to a whole number and leaves it in the lowest bits.
 */
// @ts-ignore: decorator
@inline
function expMinus(x: v128): v128 {
  x = f32x4.pmin(constant(1), f32x4.pmax(constant(0), f32x4.neg(x)));
  const shifted = madd(x, constant(2), constant(3));
  const n = f32x4.sub(shifted, constant(3));
  const r = madd(n, constant(4), x);
  let y = madd(r, constant(5), constant(6));
  y = madd(y, r, constant(7));
  y = madd(y, r, constant(8));
  y = madd(y, r, constant(9));
  y = madd(y, r, constant(10));
  y = madd(y, r, constant(10));
  // 2 to the n, multiplied in by adding n to the exponent of y.
  return i32x4.add(y, i32x4.shl(shifted, 23));
}

// @ts-ignore: decorator
@inline
function sigmoid(x: v128): v128 {
  return f32x4.div(constant(10), f32x4.add(constant(10), expMinus(x)));
}

// @ts-ignore: decorator
@inline
function tanh(x: v128): v128 {
  return f32x4.sub(f32x4.div(constant(11), f32x4.add(constant(10), expMinus(f32x4.add(x, x)))), constant(10));
}

/**
 * One time step of the cell, for m rows. Z holds the sums for the gates in Keras' order i, f, g, o (h8 panels each) and
 * is overwritten by the gates; cPrevious = 0 at the first step. Writes c and h.
 */
export function cellForward(z: usize, zStride: usize, m: i32, h8: i32, cPrevious: usize, c: usize, h: usize, hStride: usize): void {
  const gate = zStride * h8;
  for (let p = 0; p < h8; p++) {
    for (let at: usize = 0; at < <usize>m << 5; at += 16) {
      const i = sigmoid(v128.load(z + at));
      const f = sigmoid(v128.load(z + gate + at));
      const g = tanh(v128.load(z + 2 * gate + at));
      const o = sigmoid(v128.load(z + 3 * gate + at));
      let cell = f32x4.mul(i, g);
      if (cPrevious) cell = f32x4.add(cell, f32x4.mul(f, v128.load(cPrevious + at)));
      v128.store(z + at, i);
      v128.store(z + gate + at, f);
      v128.store(z + 2 * gate + at, g);
      v128.store(z + 3 * gate + at, o);
      v128.store(c + at, cell);
      v128.store(h + at, f32x4.mul(o, tanh(cell)));
    }
    z += zStride;
    if (cPrevious) cPrevious += hStride;
    c += hStride;
    h += hStride;
  }
}

/** The step back: Z's gates become the gradients of their sums; dc (m rows of h8 panels) is carried to the step before. */
export function cellBackward(z: usize, zStride: usize, m: i32, h8: i32, cPrevious: usize, c: usize, dh: usize, hStride: usize, dc: usize): void {
  const gate = zStride * h8;
  const one = f32x4.splat(1);
  for (let p = 0; p < h8; p++) {
    for (let at: usize = 0; at < <usize>m << 5; at += 16) {
      const i = v128.load(z + at);
      const f = v128.load(z + gate + at);
      const g = v128.load(z + 2 * gate + at);
      const o = v128.load(z + 3 * gate + at);
      const above = v128.load(dh + at);
      const t = tanh(v128.load(c + at));
      const dcell = f32x4.add(v128.load(dc + at), f32x4.mul(f32x4.mul(above, o), f32x4.sub(one, f32x4.mul(t, t))));
      v128.store(z + at, f32x4.mul(f32x4.mul(dcell, g), f32x4.mul(i, f32x4.sub(one, i))));
      v128.store(
        z + gate + at,
        cPrevious ? f32x4.mul(f32x4.mul(dcell, v128.load(cPrevious + at)), f32x4.mul(f, f32x4.sub(one, f))) : f32x4.splat(0),
      );
      v128.store(z + 2 * gate + at, f32x4.mul(f32x4.mul(dcell, i), f32x4.sub(one, f32x4.mul(g, g))));
      v128.store(z + 3 * gate + at, f32x4.mul(f32x4.mul(above, t), f32x4.mul(o, f32x4.sub(one, o))));
      v128.store(dc + at, f32x4.mul(dcell, f));
    }
    z += zStride;
    if (cPrevious) cPrevious += hStride;
    c += hStride;
    dh += hStride;
    dc += <usize>m << 5;
  }
}

/** y = x · mask, where mask is 0 or 1/(1 - rate), drawn by four xorshift32 generators whose states stand at `state`. */
export function dropout(x: usize, y: usize, mask: usize, n: i32, dropBelow: u32, scale: f32, state: usize): void {
  let s = v128.load(state);
  // Compared as signed numbers: both sides moved by half the range.
  const half = i32x4.splat(<i32>0x80000000);
  const limit = v128.xor(i32x4.splat(<i32>dropBelow), half);
  const keep = f32x4.splat(scale);
  for (let at: usize = 0; at < <usize>n << 2; at += 16) {
    s = v128.xor(s, i32x4.shl(s, 13));
    s = v128.xor(s, i32x4.shr_u(s, 17));
    s = v128.xor(s, i32x4.shl(s, 5));
    const kept = v128.and(keep, i32x4.ge_s(v128.xor(s, half), limit));
    v128.store(mask + at, kept);
    v128.store(y + at, f32x4.mul(v128.load(x + at), kept));
  }
  v128.store(state, s);
}

/** y = x · mask. */
export function multiply(x: usize, mask: usize, y: usize, n: i32): void {
  for (let at: usize = 0; at < <usize>n << 2; at += 16) {
    v128.store(y + at, f32x4.mul(v128.load(x + at), v128.load(mask + at)));
  }
}

/** x = max(x, 0). */
export function relu(x: usize, n: i32): void {
  for (let at: usize = 0; at < <usize>n << 2; at += 16) {
    v128.store(x + at, f32x4.max(v128.load(x + at), f32x4.splat(0)));
  }
}

/** d = 0 where x <= 0. */
export function reluBackward(d: usize, x: usize, n: i32): void {
  for (let at: usize = 0; at < <usize>n << 2; at += 16) {
    v128.store(d + at, v128.and(v128.load(d + at), f32x4.gt(v128.load(x + at), f32x4.splat(0))));
  }
}

/** The sum of squares, for clipping by the norm. */
export function sumSquares(x: usize, n: i32): f32 {
  let s = f32x4.splat(0);
  for (let at: usize = 0; at < <usize>n << 2; at += 16) {
    const v = v128.load(x + at);
    s = f32x4.add(s, f32x4.mul(v, v));
  }
  return f32x4.extract_lane(s, 0) + f32x4.extract_lane(s, 1) + f32x4.extract_lane(s, 2) + f32x4.extract_lane(s, 3);
}

/**
 * One step of Adam (Kingma and Ba 2015, algorithm 1) with gradients times `factor`; gradients are zero afterwards.
 * correct1, correct2: 1 / (1 - beta^t).
 */
export function adam(p: usize, g: usize, m: usize, v: usize, n: i32, factor: f32, rate: f32, beta1: f32, beta2: f32, epsilon: f32, correct1: f32, correct2: f32): void {
  const b1 = f32x4.splat(beta1), r1 = f32x4.splat(1 - beta1), b2 = f32x4.splat(beta2), r2 = f32x4.splat(1 - beta2);
  const k1 = f32x4.splat(correct1 * rate), k2 = f32x4.splat(correct2), e = f32x4.splat(epsilon), by = f32x4.splat(factor);
  for (let at: usize = 0; at < <usize>n << 2; at += 16) {
    const d = f32x4.mul(v128.load(g + at), by);
    const mean = f32x4.add(f32x4.mul(b1, v128.load(m + at)), f32x4.mul(r1, d));
    const square = f32x4.add(f32x4.mul(b2, v128.load(v + at)), f32x4.mul(r2, f32x4.mul(d, d)));
    v128.store(m + at, mean);
    v128.store(v + at, square);
    const step = f32x4.div(f32x4.mul(k1, mean), f32x4.add(f32x4.sqrt(f32x4.mul(square, k2)), e));
    v128.store(p + at, f32x4.sub(v128.load(p + at), step));
    v128.store(g + at, f32x4.splat(0));
  }
}

/** Copies windows into X, time-major: row t * count + b is row starts[b] + t of the series. */
export function gather(series: usize, seriesStride: usize, k8: i32, starts: usize, count: i32, steps: i32, x: usize): void {
  for (let p = 0; p < k8; p++) {
    for (let t = 0; t < steps; t++) {
      for (let b = 0; b < count; b++) {
        const from = series + (<usize>(load<i32>(starts + (<usize>b << 2)) + t) << 5);
        v128.store(x, v128.load(from, 0), 0);
        v128.store(x, v128.load(from, 16), 16);
        x += 32;
      }
    }
    series += seriesStride;
  }
}
