import { existsSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { packageVersion } from '#config/config.ts';
import { publicText, TowerError } from '#kernel/errors.ts';
import { isHeaderText } from '#kernel/header-text.ts';
import { plain } from '#kernel/plain-text.ts';
import { withoutCredentials } from '#kernel/without-credentials.ts';
import { createTowerClient, exitCodeOf, exitCodes } from './client.ts';
import { addServeCommand } from './commands/serve.ts';
import type { CliContext } from './context.ts';

type Io = { env?: Record<string, string | undefined>; out?: (text: string) => void; err?: (text: string) => void };

/** Runs one command line. Sets the process's exit code and never throws. */
export async function run(
  args: string[],
  wiring: { serve: (env: CliContext['env']) => Promise<void> } & Io,
): Promise<void> {
  const out = wiring.out ?? ((text: string) => process.stdout.write(`${text}\n`));
  const err = wiring.err ?? ((text: string) => process.stderr.write(`${text}\n`));
  if (!wiring.env && existsSync('.env')) process.loadEnvFile('.env');
  const env = wiring.env ?? process.env;
  const program = createProgram(env)
    .configureOutput({ writeOut: (text) => out(text.trimEnd()), writeErr: (text) => err(text.trimEnd()) })
    .showHelpAfterError('(tower --help lists all commands)')
    .exitOverride();
  const isTerminal = process.stderr.isTTY && !wiring.err;
  let lastStep = '';
  const options = () => program.opts<{ url: string; json?: boolean; registry?: string }>();
  const context: CliContext = {
    tower: () =>
      createTowerClient(checkedUrl(options().url), {
        token: checkedToken(env['TOWER_TOKEN']),
        registry: options().registry,
      }),
    print: (value, text) => out(options().json ? JSON.stringify(value, null, 2) : text(value)),
    env,
    out,
    warn: (text) => err(plain(`tower: ${text}`)),
    progress: (line) => {
      if (isTerminal) process.stderr.write(`\r\u001b[K${line}`);
    },
    step: (line) => {
      if (isTerminal) context.progress(line);
      else if (line !== '' && line !== lastStep) err(plain((lastStep = line)));
    },
  };
  addServeCommand(program, context, wiring.serve);
  // Starting the server needs no other command, so none is loaded.
  if (args.find((word) => !word.startsWith('-')) !== 'serve')
    (await import('./commands/all.ts')).addCommands(program, context);
  try {
    if (args.length === 0) program.outputHelp();
    else await program.parseAsync(args, { from: 'user' });
  } catch (error) {
    process.exitCode = report(error, err);
  }
}

/** The program with its global options, before commands are added. */
export const createProgram = (env: CliContext['env']): Command =>
  new Command('tower')
    .description('Control tower for machine-learning operations')
    .option('--url <url>', 'URL of the server', env['TOWER_URL'] ?? `http://127.0.0.1:${env['API_PORT'] || 8000}`)
    .version(packageVersion())
    .option('--json', 'print JSON instead of tables')
    .option('--registry <name>', 'name of the registry, if there are several', env['TOWER_REGISTRY'])
    .addHelpText('after', exitCodeHelp);

function report(error: unknown, err: (text: string) => void): number {
  // Commander has printed its own message; only the exit code is left to set.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : exitCodes.usage;
  if (error instanceof TowerError)
    err(
      publicText(error)
        .split('\n')
        .map((line) => `tower: ${plain(line)}`)
        .join('\n'),
    );
  else err(`tower: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  return exitCodeOf(error);
}

function checkedUrl(url: string): string {
  if (/^https?:\/\//.test(url) && URL.canParse(url) && new URL(url).username === '') return url;
  throw new TowerError(
    'invalid',
    `--url must be http(s)://host[:port] (got ${JSON.stringify(withoutCredentials(url))})`,
  );
}

/** Values from files often end with a line break. */
function checkedToken(token: string | undefined): string | undefined {
  if (isHeaderText(token?.trim() ?? '')) return token?.trim();
  throw new TowerError('invalid', 'TOWER_TOKEN must have only characters that an HTTP header can hold');
}

const exitCodeHelp =
  '\nExit codes: 0 success, 1 failed, 2 invalid usage or input, 3 not found, 4 conflict with the current state, 5 server or upstream unavailable, 6 not authenticated or not allowed';
