import type { Command } from 'commander';
import type { CollectionStatus } from '#services/acquisition/overview-schemas.ts';
import { exitCodes } from '../client.ts';
import type { CliContext } from '../context.ts';
import { card } from '../table.ts';

/** Fields of /health that are printed line by line. */
type Health = {
  status: string;
  jobs: { name: string; status: string; last_error: string | null }[];
} & Record<string, unknown>;

/** `tower status`: health, experiments and models. Exit code 5 if the server is not healthy. */
export function addStatusCommand(program: Command, context: CliContext): void {
  program
    .command('status')
    .description('status of the server, and progress of experiments and models')
    .option('--service <name>', 'only experiments and models of this service')
    .action(async ({ service }: { service?: string }) => {
      const tower = context.tower();
      const query = service === undefined ? '' : `?service=${encodeURIComponent(service)}`;
      const [health, collection] = await Promise.all([
        tower.get<Health>('/health'),
        tower.get<CollectionStatus>(`/api/v1/acquisition/status${query}`),
      ]);
      context.print({ ...health, ...collection }, ({ jobs, services, data_collection, ...rest }) =>
        card([
          ...Object.entries(rest).filter(([, value]) => value !== null),
          ...jobs.map((job): [string, unknown] => [`job ${job.name}`, job.last_error ?? job.status]),
          ...Object.entries(services).map(([name, each]): [string, unknown] => [
            `service ${name}`,
            `${each.experiments} experiments, ${each.models_trained ? 'a model' : 'no model'}, ${each.status.replace('_', ' ')}`,
          ]),
          ['experiments', data_collection.in_progress ? 'in progress' : 'not in progress'],
        ]),
      );
      if (health.status !== 'healthy') process.exitCode = exitCodes.unavailable;
    });
}
