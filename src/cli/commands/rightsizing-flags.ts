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
  new Option('--horizon <time>', 'how long a request is to hold').choices(['24h', '1h']).default('24h');

export const sizeOptions = (command: Command): Command =>
  command
    .addOption(horizonOption())
    .option('--strategy <name>', 'tower, or the rule of another right-sizer (tower rightsizing strategies)', 'tower')
    .option('--days <number>', 'how far back usage is looked at; 14')
    .option('--violation <share>', 'share of samples that may lie above the CPU request; 0.05')
    .option('--memory-violation <share>', 'share of horizons in which memory may go above its request; 0.02')
    .option('--cpu-limit', 'a CPU limit too')
    .addOption(
      new Option('--basis <name>', 'what was used, or experiments and traffic; auto: these where there are any')
        .choices(['auto', 'usage', 'capacity'])
        .default('auto'),
    )
    .option('--demand <number>', 'requests per second to size for, by experiments')
    .option('--startup-seconds <number>', 'CPU of a pod’s first moments does not count; 120')
    .option('--min-cpu <cores>', 'the least CPU of a container')
    .option('--max-cpu <cores>', 'the most')
    .option('--min-memory <MiB>', 'the least memory of a container')
    .option('--max-memory <MiB>', 'the most')
    .option('--min-replicas <number>', 'the fewest replicas')
    .option('--max-replicas <number>', 'the most');

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
