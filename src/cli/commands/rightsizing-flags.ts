import { type Command, Option } from 'commander';
import { numberOf } from '../csv-column.ts';

/** Options of a recommendation, shared by `recommend` and `apply`. */

export type SizeFlags = {
  horizon: string;
  strategy: string;
  days?: string;
  violation?: string;
  memoryViolation?: string;
  cpuLimit?: boolean;
  basis: string;
  demand?: string;
  startupSeconds?: string;
  minCpu?: string;
  maxCpu?: string;
  minMemory?: string;
  maxMemory?: string;
  minReplicas?: string;
  maxReplicas?: string;
};

export const horizonOption = () =>
  new Option('--horizon <time>', 'validity: 24h = until the next redeployment, 1h = until the next in-place resize')
    .choices(['24h', '1h'])
    .default('24h');

export const sizeOptions = (command: Command): Command =>
  command
    .addOption(horizonOption())
    .option(
      '--strategy <name>',
      'tower, or another right-sizer’s algorithm (see "tower rightsizing strategies")',
      'tower',
    )
    .option('--days <number>', 'history in days; default 14')
    .option('--violation <share>', 'target share of samples above the CPU request; default 0.05')
    .option('--memory-violation <share>', 'target share of horizons with memory above its request; default 0.02')
    .option('--cpu-limit', 'recommend a CPU limit too')
    .addOption(
      new Option(
        '--basis <name>',
        'usage, or capacity (experiments and traffic); auto: capacity if there are experiments',
      )
        .choices(['auto', 'usage', 'capacity'])
        .default('auto'),
    )
    .option('--demand <number>', 'demand in requests per second, for capacity')
    .option('--startup-seconds <number>', 'initial seconds of each pod whose CPU does not count; default 120')
    .option('--min-cpu <cores>', 'minimum CPU of a container')
    .option('--max-cpu <cores>', 'maximum CPU of a container')
    .option('--min-memory <MiB>', 'minimum memory of a container')
    .option('--max-memory <MiB>', 'maximum memory of a container')
    .option('--min-replicas <number>', 'minimum number of replicas')
    .option('--max-replicas <number>', 'maximum number of replicas');

/** @throws TowerError `invalid` if the text is not a number */
export function sizeBody(flags: SizeFlags): object {
  const number = (name: string, flag: string, text: string | undefined, unit = 1) =>
    text === undefined ? {} : { [name]: unit * numberOf(flag, text) };
  const mebibyte = 2 ** 20;
  return {
    horizon: flags.horizon,
    strategy: flags.strategy,
    basis: flags.basis,
    cpu_limit: flags.cpuLimit === true,
    ...number('history_days', '--days', flags.days),
    ...number('violation', '--violation', flags.violation),
    ...number('memory_violation', '--memory-violation', flags.memoryViolation),
    ...number('demand_requests_per_second', '--demand', flags.demand),
    ...number('startup_seconds', '--startup-seconds', flags.startupSeconds),
    ...number('min_cpu_cores', '--min-cpu', flags.minCpu),
    ...number('max_cpu_cores', '--max-cpu', flags.maxCpu),
    ...number('min_memory_bytes', '--min-memory', flags.minMemory, mebibyte),
    ...number('max_memory_bytes', '--max-memory', flags.maxMemory, mebibyte),
    ...number('min_replicas', '--min-replicas', flags.minReplicas),
    ...number('max_replicas', '--max-replicas', flags.maxReplicas),
  };
}
