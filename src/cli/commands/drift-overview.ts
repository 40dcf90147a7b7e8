import type { Command } from 'commander';
import { invalid } from '#kernel/errors.ts';
import { parseTime } from '#kernel/time-text.ts';
import type { BaselineInfo } from '#services/drift/observation-schemas.ts';
import type { DriftOverview } from '#services/drift/schemas.ts';
import type { CliContext } from '../context.ts';
import { numberOf } from '../csv-column.ts';
import { table } from '../table.ts';
import { timeOf } from '../time.ts';

type PinFlags = { from?: string; until?: string; value?: string; sd?: string; n?: string };

/** `tower drift …`: drift of all monitored versions, and pinned baselines. */
export function addDriftOverviewCommands(program: Command, context: CliContext): void {
  const drift = program.command('drift').description('drift of monitored versions, and pinned baselines');
  drift
    .command('list')
    .description('verdicts of all monitored versions, worst first')
    .action(async () => context.print(await context.tower().get<DriftOverview>('/models/drift'), overviewText));
  drift
    .command('baselines <name> <version>')
    .description('list pinned baselines of a version')
    .action(async (name: string, version: string) =>
      context.print(await context.tower().get<BaselineInfo[]>(pathOf(name, version)), baselinesText),
    );
  drift
    .command('pin <name> <version> <subject>')
    .description('pin the baseline of a metric or feature: days, or a value with its spread')
    .option('--from <time>', 'start of the baseline: a date or time, or an age such as 30d', timeOf)
    .option('--until <time>', 'end of the baseline', timeOf)
    .option('--value <number>', 'mean of the baseline, instead of days; metrics only')
    .option('--sd <number>', 'with --value: standard deviation')
    .option('--n <number>', 'with --value: number of values')
    .action(async (name: string, version: string, subject: string, flags: PinFlags) => {
      const pinned = await context.tower().put<BaselineInfo>(pathOf(name, version), { subject, ...baselineOf(flags) });
      context.print(pinned, (one) => baselinesText([one]));
    });
  drift
    .command('unpin <name> <version> <subject>')
    .description('remove a pinned baseline: the first days are the baseline again')
    .action(async (name: string, version: string, subject: string) => {
      const path = `${pathOf(name, version)}?subject=${encodeURIComponent(subject)}`;
      context.print(await context.tower().delete<{ message: string }>(path), ({ message }) => message);
    });
}

const pathOf = (name: string, version: string): string =>
  `/model/${encodeURIComponent(name)}/${encodeURIComponent(version)}/baselines`;

function baselineOf({ from, until, value, sd, n }: PinFlags): object {
  const isDays = from !== undefined && until !== undefined;
  const isValue = value !== undefined && sd !== undefined && n !== undefined;
  if (isDays === isValue) throw invalid('set either --from and --until, or --value, --sd and --n');
  if (isDays) return { from: wholeTime('--from', from), until: wholeTime('--until', until) };
  return { value: numberOf('--value', value!), sd: numberOf('--sd', sd!), n: numberOf('--n', n!) };
}

/** A date is its midnight (UTC). */
function wholeTime(flag: string, text: string): string {
  const time = parseTime(text);
  if (Number.isNaN(time)) throw invalid(`${flag} must be a date or an ISO 8601 time (got ${JSON.stringify(text)})`);
  return new Date(time).toISOString();
}

function overviewText({ versions, not_assessed }: DriftOverview): string {
  if (versions.length + not_assessed === 0) return 'No monitored versions. Start with "tower models monitor".';
  const pending =
    not_assessed === 0 ? [] : [`not assessed yet: ${not_assessed} (after the next CACHE_REFRESH_INTERVAL_MINUTES)`];
  const rows = versions.map(({ name, version, status, reason }) => [name, version, status, reason]);
  return [...(rows.length === 0 ? [] : [table(['MODEL', 'VERSION', 'STATUS', 'REASON'], rows)]), ...pending].join('\n');
}

const baselinesText = (baselines: BaselineInfo[]): string =>
  baselines.length === 0
    ? 'No pinned baselines.'
    : table(
        ['SUBJECT', 'FROM', 'UNTIL', 'VALUE', 'SD', 'N', 'PINNED BY'],
        baselines.map(({ subject, from, until, value, sd, n, pinned_by }) => [
          subject,
          from,
          until,
          value,
          sd,
          n,
          pinned_by,
        ]),
      );
