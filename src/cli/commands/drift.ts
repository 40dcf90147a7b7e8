import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { invalid, notFound } from '#kernel/errors.ts';
import type { VersionDrift } from '#services/drift/schemas.ts';
import type { CliContext } from '../context.ts';
import { table } from '../table.ts';
import { timeOf } from '../time.ts';

type Observed = { metric?: string; value?: string; at?: string; file?: string };

/** `tower models drift` and `tower models observe`: performance of models after their training. */
export function addDriftCommands(models: Command, context: CliContext): void {
  models
    .command('drift <name> [version]')
    .description('drift of a version since its training, and decay of its metrics')
    .option('--days <number>', 'with --json: time range of the values', '30')
    .action(async (name: string, version: string | undefined, { days }: { days: string }) => {
      const all = await context
        .tower()
        .get<VersionDrift[]>(`/model/${encodeURIComponent(name)}/drift?days=${encodeURIComponent(days)}`);
      const wanted = version === undefined ? all : all.filter((item) => item.version === version);
      if (version !== undefined && wanted.length === 0) throw notFound(`model ${name} has no version ${version}`);
      context.print(wanted, driftText);
    });

  models
    .command('observe <name> <version>')
    .description('post observations from production: one value, or a JSON file')
    .option('--metric <name>', 'with --value: name of the metric')
    .option('--value <number>', 'value of the metric')
    .option('--at <time>', 'time of the measurement, or an age such as 1d; default: now', timeOf)
    .option('--file <path>', 'JSON: {"observations": […]} or the array itself; - reads standard input')
    .action(async (name: string, version: string, flags: Observed) => {
      const path = `/model/${encodeURIComponent(name)}/${encodeURIComponent(version)}/observations`;
      const taken = await context
        .tower()
        .post<{ accepted: number; duplicates: number }>(path, { observations: await observationsOf(flags) });
      context.print(
        taken,
        ({ accepted, duplicates }) => `${accepted} accepted${duplicates > 0 ? `, ${duplicates} duplicates` : ''}`,
      );
    });
}

async function observationsOf({ metric, value, at, file }: Observed): Promise<unknown> {
  if (file === undefined) {
    if (metric === undefined || value === undefined) throw invalid('set --metric and --value, or --file');
    if (value.trim() === '' || !Number.isFinite(Number(value)))
      throw invalid(`--value must be a number (got ${JSON.stringify(value)})`);
    return [{ metric, value: Number(value), at: at ?? new Date().toISOString() }];
  }
  const text = await readFile(file === '-' ? '/dev/stdin' : file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw invalid(`cannot read --file ${file} (${error.code})`);
  });
  try {
    const given = JSON.parse(text) as { observations?: unknown };
    return given.observations ?? given;
  } catch {
    throw invalid(`--file ${file} is not valid JSON`);
  }
}

function driftText(versions: VersionDrift[]): string {
  const rows = versions.flatMap(({ version, stage, status, reason, assessment }) =>
    assessment.length === 0
      ? [[version, stage, null, null, status, reason]]
      : assessment.map((item) => [
          version,
          stage,
          'metric' in item ? item.metric : item.feature,
          item.dataset,
          item.status,
          item.reason,
        ]),
  );
  return table(['VERSION', 'STAGE', 'MEASURED', 'DATASET', 'STATUS', 'REASON'], rows);
}
