import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';

/** Path of a system program; missing programs are a failure in CI. */
export function systemProgram(...paths: string[]): string | null {
  const found = paths.find((path) => existsSync(path));
  if (found) return found;
  if (process.env['CI']) throw new Error(`${paths[0]} is missing; .ci/run installs it`);
  console.warn(`NOT TESTED with ${paths[0]}: it is not installed`);
  return null;
}

/** Runs a program to its end. */
export async function output(program: string, args: string[], input = ''): Promise<{ code: number; text: string }> {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => (text += chunk));
  child.stderr.on('data', (chunk: Buffer) => (text += chunk));
  // A program that ends without reading its input has reported why.
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  const [code] = (await once(child, 'close')) as [number];
  return { code, text };
}
