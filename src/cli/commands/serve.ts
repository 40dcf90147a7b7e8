import { spawn } from 'node:child_process';
import type { Command } from 'commander';
import { readConfig } from '#config/config.ts';
import { suspiciousVariables } from '#config/suspicious-variables.ts';
import type { CliContext } from '../context.ts';

type ServeFlags = { host?: string; port?: string; config?: boolean; reload?: boolean };

/** `tower serve`: runs the server. Flags override the environment, which overrides `.env`. */
export function addServeCommand(
  program: Command,
  context: CliContext,
  serve: (env: CliContext['env']) => Promise<void>,
): void {
  program
    .command('serve')
    .description('start the server')
    .option('--host <address>', 'address to listen on (API_HOST)')
    .option('--port <number>', 'port to listen on (API_PORT)')
    .option('--config', 'print the effective settings, without secrets, and exit')
    .option('--reload', 'restart when a source file changes')
    .action(async (flags: ServeFlags) => {
      if (flags.reload) return reload();
      const env = {
        ...context.env,
        ...(flags.host ? { API_HOST: flags.host } : {}),
        ...(flags.port ? { API_PORT: flags.port } : {}),
      };
      for (const text of suspiciousVariables(env)) context.warn(text);
      if (flags.config) context.out(JSON.stringify(readConfig(env, 'serve').config, null, 2));
      else await serve(env);
    });
}

/** Runs Node's own watch mode. */
function reload(): Promise<void> {
  const args = process.argv.slice(1).filter((arg) => arg !== '--reload');
  const child = spawn(process.execPath, ['--watch', ...args], { stdio: 'inherit' });
  const pass = (signal: NodeJS.Signals) => child.kill(signal);
  process.on('SIGINT', pass).on('SIGTERM', pass);
  return new Promise((resolve) => {
    child.on('exit', (code) => {
      process.exitCode = code ?? 0;
      resolve();
    });
  });
}
