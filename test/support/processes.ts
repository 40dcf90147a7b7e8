import { type ChildProcess, spawn } from 'node:child_process';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';

/** A currently unused port. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

export type Started = {
  child: ChildProcess;
  output: () => string;
  stop: (signal?: NodeJS.Signals) => Promise<number | null>;
};

/** Running process groups; none outlives the process that started it. */
const running = new Set<number>();
process.once('exit', () => {
  for (const pid of running) endGroup(pid, 'SIGKILL');
});

function endGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // It has ended by itself.
  }
}

/** Starts a program in its own process group; `stop` ends the group and waits for it. */
export function start(
  command: string,
  args: string[],
  options: { cwd?: string; env?: Record<string, string> } = {},
): Started {
  let output = '';
  const child = spawn(command, args, {
    ...options,
    env: { ...process.env, ...options.env },
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk;
  });
  child.stderr.on('data', (chunk: Buffer) => {
    output += chunk;
  });
  const { pid } = child;
  if (pid !== undefined) {
    running.add(pid);
    child.once('exit', () => running.delete(pid));
  }
  const exited = new Promise<number | null>((resolve) => {
    child.once('exit', (code) => resolve(code));
    child.once('error', () => resolve(null));
  });
  return {
    child,
    output: () => output,
    stop: async (signal = 'SIGTERM') => {
      if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
        endGroup(child.pid, signal);
      }
      return exited;
    },
  };
}

/** Polls until the URL answers 200; throws with the program's output otherwise. */
export async function untilAnswers(url: string, program: Started, withinMs = 60_000): Promise<Response> {
  const deadline = Date.now() + withinMs;
  while (Date.now() < deadline) {
    if (program.child.exitCode !== null) break;
    const response = await fetch(url).catch(() => null);
    if (response?.ok) return response;
    await response?.body?.cancel();
    await new Promise((resolve) => {
      setTimeout(resolve, 20);
    });
  }
  throw new Error(`${url} did not answer; the program said:\n${program.output()}`);
}
