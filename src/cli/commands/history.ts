import type { Command } from 'commander';
import type { ModelHistory } from '#services/registry/journal/event-schemas.ts';
import type { CliContext } from '../context.ts';
import { table } from '../table.ts';
import { timeOf } from '../time.ts';

/** `tower models history`: which version was in production when. */
export function addHistoryCommand(models: Command, context: CliContext): void {
  models
    .command('history <name>')
    .description('versions in production over time, and the rollback target')
    .option('--stage <stage>', 'a stage other than Production')
    .option('--at <time>', 'versions in the stage at this time, or an age such as 2d', timeOf)
    .action(async (name: string, flags: { stage?: string; at?: string }) => {
      const query = new URLSearchParams(Object.entries(flags));
      context.print(
        await context.tower().get<ModelHistory>(`/model/${encodeURIComponent(name)}/history?${query}`),
        historyText,
      );
    });
}

function historyText({ stage, recorded_since, at, rollback_target, rollback_reason, turns }: ModelHistory): string {
  if (at) {
    if (at.versions === null)
      return `Unknown at ${at.time}: ${recorded_since === null ? 'recording has not started' : `recording started at ${recorded_since}`}`;
    const maybe = at.uncertain.length > 0 ? `; uncertain: ${at.uncertain.join(', ')} (changed between two polls)` : '';
    return `${stage} at ${at.time}: ${at.versions.join(', ') || 'no confirmed version'}${maybe}`;
  }
  const rows = turns.map((turn) => [
    turn.version,
    turn.from ?? `before ${recorded_since ?? 'recording'}`,
    turn.until ?? 'now',
    turn.stage_source,
    turn.ended_by,
  ]);
  const list =
    rows.length > 0 ? table(['VERSION', 'FROM', 'UNTIL', 'BY', 'ENDED BY'], rows) : `No version was in stage ${stage}.`;
  return `${list}\n\nRollback target: ${rollback_target ?? 'none'} (${rollback_reason})`;
}
