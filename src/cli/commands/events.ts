import { setTimeout as wait } from 'node:timers/promises';
import { type Command, Option } from 'commander';
import { TowerError } from '#kernel/errors.ts';
import { plain } from '#kernel/plain-text.ts';
import type { EventInfo } from '#services/registry/journal/event-schemas.ts';
import type { CliContext } from '../context.ts';
import { table } from '../table.ts';
import { timeOf } from '../time.ts';

type Flags = {
  follow?: boolean;
  type?: string[];
  name?: string;
  version?: string;
  since?: string;
  limit: string;
  after?: string;
};

const retryMs = 3_000;

/** `tower events`: past and live changes of the registry. */
export function addEventCommands(program: Command, context: CliContext): void {
  program
    .command('events')
    .description('registry events, newest first')
    .option('--follow', 'stream new events until interrupted')
    .option('--type <type...>', 'only this type, e.g. model_version_alias or model_version.stage_changed')
    .option('--name <model>', 'only events of this model')
    .option('--version <version>', 'only events of this version')
    .option('--since <time>', 'observed at or after this date or time, or an age such as 7d', timeOf)
    .option('--limit <number>', 'maximum number of events', '20')
    .addOption(new Option('--after <id>', 'with --follow: continue after this event id'))
    .action(async (flags: Flags) => {
      if (flags.follow) return follow(context, flags);
      const query = queryOf(flags);
      query.set('limit', flags.limit);
      if (flags.since !== undefined) query.set('since', flags.since);
      context.print(await context.tower().get<EventInfo[]>(`/models/events?${query}`), listText);
    });
}

/** Reconnects and continues after the last event; ends on Ctrl-C, or when the server refuses. */
async function follow(context: CliContext, flags: Flags): Promise<void> {
  let lastId = flags.after ?? null;
  for (let wasThere = false; ; ) {
    try {
      const frames = await context.tower().follow(`/models/stream?${queryOf(flags)}`, lastId);
      wasThere = true;
      for await (const { id, event, data } of frames) {
        lastId = id ?? lastId;
        if (event === 'gap') context.out(`# ${(JSON.parse(data) as { reason: string }).reason}`);
        else context.print(JSON.parse(data) as EventInfo, lineText);
      }
    } catch (error) {
      const isRefused = error instanceof TowerError && error.code !== 'unavailable';
      if (isRefused || !wasThere) throw error;
    }
    await wait(retryMs);
  }
}

function queryOf({ type, name, version }: Flags): URLSearchParams {
  const query = new URLSearchParams();
  for (const item of type ?? []) query.append('type', item);
  if (name !== undefined) query.set('name', name);
  if (version !== undefined) query.set('version', version);
  return query;
}

function listText(events: EventInfo[]): string {
  if (events.length === 0) return 'No matching events. Changes are recorded from the first read of the registry on.';
  const rows = events.map((event) => [
    event.id,
    event.observed_at,
    event.type,
    event.name,
    event.version,
    event.alias,
    changeText(event),
  ]);
  return table(['ID', 'OBSERVED', 'TYPE', 'MODEL', 'VERSION', 'ALIAS', 'CHANGE'], rows);
}

const lineText = (event: EventInfo): string =>
  plain(
    [
      event.observed_at,
      event.type,
      event.name,
      event.version && `v${event.version}`,
      event.alias && `@${event.alias}`,
      changeText(event),
    ]
      .filter(Boolean)
      .join('  '),
  );

/** Before and after; of a stage only its name. */
function changeText({ type, before, after }: EventInfo): string {
  if (/\.(created|deleted)$/.test(type) && !type.startsWith('model_version_alias')) return '';
  const text = (value: unknown): string => {
    if (value === null) return '-';
    if (typeof value === 'object' && 'stage' in value) return String(value.stage);
    return typeof value === 'string' ? value : JSON.stringify(value);
  };
  return `${text(before)} → ${text(after)}`;
}
