import { readFileSync } from 'node:fs';
import { plainKernels } from './plain-kernels.ts';

/**
 * The LSTM's inner loops behind one type, so that the network is written once. Addresses are bytes of 32-bit elements
 * in one memory; the layout of matrices and what each function does stand in kernels.as.
 */
export type Kernels = {
  /** The memory as numbers: element `address / 4`. 64 bits each where gradients are checked. */
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

/**
 * `simd`: the same bits on every machine, the default. `fma`: a quarter faster at best, needs relaxed SIMD (Node 22 and
 * later), last bits differ between machines. `plain`: TypeScript, about ten times slower; `plain64`: the same in 64 bits,
 * to check gradients.
 */
export type KernelBuild = 'simd' | 'fma' | 'plain' | 'plain64';

const files = { simd: './kernels.wasm', fma: './kernels-fma.wasm' };

/** What is used of WebAssembly here: its types come with those of browsers only. */
type Wasm = {
  Memory: new (size: { initial: number }) => { buffer: ArrayBuffer };
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object, imports: { env: { memory: object } }) => { exports: object };
};
const wasm = (globalThis as unknown as { WebAssembly: Wasm }).WebAssembly;
const compiled = new Map<string, object>();

/** @throws CompileError where this Node does not know the build's instructions */
export function openKernels(build: KernelBuild, bytes: number): Kernels {
  if (build === 'plain') return plainKernels(new Float32Array(bytes / 4));
  if (build === 'plain64') return plainKernels(new Float64Array(bytes / 4));
  const memory = new wasm.Memory({ initial: Math.ceil(bytes / 65_536) });
  const module = compiled.get(build) ?? new wasm.Module(readFileSync(new URL(files[build], import.meta.url)));
  compiled.set(build, module);
  const { exports } = new wasm.Instance(module, { env: { memory } });
  const views = { floats: new Float32Array(memory.buffer), ints: new Int32Array(memory.buffer) };
  return { ...(exports as Kernels), ...views };
}
