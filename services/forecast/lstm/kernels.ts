import { readFileSync } from 'node:fs';
import { assetUrl } from '#kernel/program-files.ts';
import type { Kernels } from './kernel-functions.ts';
import { plainKernels } from './plain-kernels.ts';

/**
 * `simd`: bit-identical on every machine, the default. `fma`: up to 25 % faster, needs relaxed SIMD (Node 22 and
 * later), last bits differ between machines. `plain`: TypeScript, about ten times slower; `plain64`: the same in 64
 * bits, for gradient checks.
 */
export type KernelBuild = 'simd' | 'fma' | 'plain' | 'plain64';

const files = {
  simd: 'services/forecast/lstm/kernels.wasm',
  fma: 'services/forecast/lstm/kernels-fma.wasm',
} as const;

/** The parts of WebAssembly's API used here; TypeScript has its types only in the DOM library. */
type Wasm = {
  Memory: new (size: { initial: number }) => { buffer: ArrayBuffer };
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object, imports: { env: { memory: object } }) => { exports: object };
};
const wasm = (globalThis as unknown as { WebAssembly: Wasm }).WebAssembly;
const compiled = new Map<string, object>();

/** @throws CompileError if this Node does not support the build's instructions */
export function openKernels(build: KernelBuild, bytes: number): Kernels {
  if (build === 'plain') return plainKernels(new Float32Array(bytes / 4));
  if (build === 'plain64') return plainKernels(new Float64Array(bytes / 4));
  const memory = new wasm.Memory({ initial: Math.ceil(bytes / 65_536) });
  const module = compiled.get(build) ?? new wasm.Module(readFileSync(assetUrl(files[build])));
  compiled.set(build, module);
  const { exports } = new wasm.Instance(module, { env: { memory } });
  const views = { floats: new Float32Array(memory.buffer), ints: new Int32Array(memory.buffer) };
  return { ...(exports as Kernels), ...views };
}
