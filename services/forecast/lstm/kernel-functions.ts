/**
 * Type of the LSTM's inner loops, so that the network is written once. Addresses are bytes of 32-bit elements in one
 * memory; kernels.as documents the layout of matrices and each function.
 */
export type Kernels = {
  /** The memory as numbers: element `address / 4`. 64-bit elements for gradient checks. */
  floats: Float32Array | Float64Array;
  ints: Int32Array;
  gemm(
    a: number,
    aStride: number,
    m: number,
    k8: number,
    w: number,
    c: number,
    cStride: number,
    n8: number,
    start: number,
  ): void;
  gemmTransposed(
    a: number,
    aStride: number,
    m: number,
    k8: number,
    d: number,
    dStride: number,
    n8: number,
    g: number,
  ): void;
  transpose(w: number, k8: number, n8: number, t: number): void;
  sumRows(d: number, dStride: number, m: number, n8: number, g: number): void;
  cellForward(
    z: number,
    zStride: number,
    m: number,
    h8: number,
    cPrevious: number,
    c: number,
    h: number,
    hStride: number,
  ): void;
  cellBackward(
    z: number,
    zStride: number,
    m: number,
    h8: number,
    cPrevious: number,
    c: number,
    dh: number,
    hStride: number,
    dc: number,
  ): void;
  dropout(x: number, y: number, mask: number, n: number, dropBelow: number, scale: number, state: number): void;
  multiply(x: number, mask: number, y: number, n: number): void;
  relu(x: number, n: number): void;
  reluBackward(d: number, x: number, n: number): void;
  sumSquares(x: number, n: number): number;
  adam(
    p: number,
    g: number,
    m: number,
    v: number,
    n: number,
    factor: number,
    rate: number,
    beta1: number,
    beta2: number,
    epsilon: number,
    correct1: number,
    correct2: number,
  ): void;
  gather(
    series: number,
    seriesStride: number,
    k8: number,
    starts: number,
    count: number,
    steps: number,
    x: number,
  ): void;
};
