import { readFileSync, writeFileSync } from 'node:fs';

/** `npm run build:kernels`: compiles kernels.as. The results are committed; a test compares them with a new build. */

export type Build = 'plain' | 'fma';
export const kernelFile = (build: Build): URL =>
  new URL(build === 'fma' ? './kernels-fma.wasm' : './kernels.wasm', import.meta.url);

/** The compiler's own types would declare AssemblyScript's built-in functions globally. */
type Compiler = {
  main(
    args: string[],
    io: {
      readFile(name: string): string | null;
      writeFile(name: string, contents: Uint8Array | string): void;
      listFiles(): string[];
    },
  ): Promise<{ error: Error | null; stderr: { toString(): string } }>;
};
const compiler: string = 'assemblyscript/asc';

const source = readFileSync(new URL('./kernels.as', import.meta.url), 'utf8');

/** @throws Error with the compiler's messages */
export async function compileKernels(build: Build): Promise<Uint8Array> {
  let made: Uint8Array | null = null;
  const features = build === 'fma' ? ['--enable', 'relaxed-simd'] : [];
  // Not optimised here: Binaryen sinks the multiply-adds of one accumulator into one expression, which halves the
  // speed. V8 optimises the machine code.
  const flags = ['--runtime', 'stub', '--importMemory', '--noExportMemory', '--noAssert', '--enable', 'simd'];
  // The compiler requires the file extension .ts; ours is .as, since it is not TypeScript.
  const { main } = (await import(compiler)) as Compiler;
  const { error, stderr } = await main(['kernels.ts', '--outFile', 'kernels.wasm', ...flags, ...features], {
    readFile: (name) => (name === 'kernels.ts' ? source : null),
    writeFile: (_name, contents) => {
      if (contents instanceof Uint8Array) made = contents;
    },
    listFiles: () => [],
  });
  if (error || !made) throw new Error(`the kernels do not compile: ${stderr.toString()}`);
  return made;
}

if (import.meta.main) {
  for (const build of ['plain', 'fma'] as const) {
    const bytes = await compileKernels(build);
    writeFileSync(kernelFile(build), bytes);
    process.stdout.write(`${build}: ${bytes.length} bytes\n`);
  }
}
