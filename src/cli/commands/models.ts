import type { Command } from 'commander';
import { notFound } from '#kernel/errors.ts';
import type { ModelInfo } from '#services/registry/schemas.ts';
import type { CliContext } from '../context.ts';
import { card, table } from '../table.ts';
import { addDriftCommands } from './drift.ts';
import { addHistoryCommand } from './history.ts';
import { addPromotionCommands } from './promotion.ts';

type ListFlags = {
  stage?: string;
  monitored?: boolean;
  alias?: string;
  tag?: string[];
  metric?: string[];
  search?: string;
  orderBy?: string;
  limit?: string;
};

/** `tower models …`: registry contents and monitored versions. */
export function addModelCommands(program: Command, context: CliContext): void {
  const models = program.command('models').description('model versions in the registry');

  models
    .command('list')
    .description('list model versions')
    .option('--stage <stage>', 'only this effective stage')
    .option('--monitored', 'only monitored versions')
    .option('--alias <alias>', 'only versions with this alias')
    .option('--tag <key=value...>', 'only versions with this tag; can be repeated')
    .option('--metric <rule...>', 'only versions with this metric, e.g. "accuracy>=0.9"; can be repeated')
    .option('--search <text>', 'only names that contain this text')
    .option('--order-by <order>', 'e.g. "metrics.accuracy desc"')
    .option('--limit <number>', 'maximum number of versions')
    .action(async (flags: ListFlags) => {
      const path = `${flags.monitored ? '/models/monitored' : '/models/all'}${queryOf(flags)}`;
      const tower = context.tower();
      // Without --limit, all pages are fetched.
      const found = flags.limit === undefined ? await tower.list<ModelInfo>(path) : await tower.get<ModelInfo[]>(path);
      context.print(found, listText);
    });

  models
    .command('show <name> [version]')
    .description('show a model, or one version of it')
    .action(async (name: string, version: string | undefined) => {
      const versions = await context.tower().list<ModelInfo>(`/model/${encodeURIComponent(name)}/versions`);
      if (version === undefined) return context.print(versions, listText);
      const found = versions.find((item) => item.version === version);
      if (!found)
        throw notFound(
          `model ${name} has no version ${version}; available: ${versions.map((item) => item.version).join(', ')}`,
        );
      context.print(found, (model) => card(Object.entries(model)));
    });

  addHistoryCommand(models, context);
  addPromotionCommands(models, context);
  addDriftCommands(models, context);
  addMonitorCommands(models, context);
}

function addMonitorCommands(models: Command, context: CliContext): void {
  models
    .command('monitor <name> <version>')
    .description('start monitoring a version')
    .requiredOption('--type <type>', 'classifier or regressor')
    .option('--by <user>', 'user to record; default: the current user')
    .action(async (name: string, version: string, flags: { type: string; by?: string }) => {
      const by = flags.by ?? context.env['USER'] ?? context.env['USERNAME'] ?? 'tower';
      const body = { model_type: flags.type, registered_by: by };
      context.print(
        await context.tower().post<{ message: string }>(monitorPath(name, version), body),
        (answer) => answer.message,
      );
    });

  models
    .command('unmonitor <name> <version>')
    .description('stop monitoring a version')
    .action(async (name: string, version: string) => {
      context.print(
        await context.tower().delete<{ message: string }>(monitorPath(name, version)),
        (answer) => answer.message,
      );
    });
}

const monitorPath = (name: string, version: string): string =>
  `/models/${encodeURIComponent(name)}/${encodeURIComponent(version)}/monitor`;

function queryOf(flags: ListFlags): string {
  const query = new URLSearchParams();
  const values = {
    stage: flags.stage,
    alias: flags.alias,
    search: flags.search,
    order_by: flags.orderBy,
    limit: flags.limit,
  };
  for (const [name, value] of Object.entries(values)) if (value !== undefined) query.append(name, value);
  for (const tag of flags.tag ?? []) query.append('tag', tag);
  for (const metric of flags.metric ?? []) query.append('metric', metric);
  return query.size > 0 ? `?${query}` : '';
}

function listText(versions: ModelInfo[]): string {
  if (versions.length === 0) return 'No matching model versions.';
  // With several registries, a name alone is ambiguous.
  const several = versions.some((item) => item.registry !== undefined);
  const rows = versions.map((item) => [
    ...(several ? [item.registry] : []),
    item.name,
    Number(item.version),
    stageText(item),
    item.aliases,
    item.model_type,
    metricsText(item.metrics),
  ]);
  return table([...(several ? ['REGISTRY'] : []), 'NAME', 'VERSION', 'STAGE', 'ALIASES', 'TYPE', 'METRICS'], rows);
}

const stageText = (model: ModelInfo): string =>
  model.stage_source === 'alias' ? `${model.stage} (alias)` : model.stage;

const metricsText = (metrics: ModelInfo['metrics']): string =>
  Object.entries(metrics)
    .map(([name, value]) => `${name}=${value === null ? 'n/a' : Number(value.toPrecision(4))}`)
    .join(' ');
