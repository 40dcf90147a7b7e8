import type { Command } from 'commander';
import { exitCodes } from '../client.ts';
import type { CliContext } from '../main.ts';
import { card } from '../table.ts';

type Health = {
  status: string;
  jobs: { name: string; status: string; last_error: string | null; next_run_at: string | null }[];
} & Record<string, unknown>;

/** `tower status`: is it well? Exit code 5 when it is not. */
export function addStatusCommand(program: Command, context: CliContext): void {
  program
    .command('status')
    .description('how the running tower is')
    .action(async () => {
      const health = await context.tower().get<Health>('/health');
      context.print(health, ({ jobs, ...rest }) =>
        card([
          ...Object.entries(rest).filter(([, value]) => value !== null),
          ...jobs.map((job): [string, unknown] => [`job ${job.name}`, job.last_error ?? job.status]),
        ]),
      );
      if (health.status !== 'healthy') process.exitCode = exitCodes.unavailable;
    });
}
