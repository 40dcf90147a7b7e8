import type { Command } from 'commander';
import type { CliContext } from '../context.ts';
import { addAccessCommands } from './access.ts';
import { addCacheCommands } from './cache.ts';
import { addCompletionCommand } from './completion.ts';
import { addDriftOverviewCommands } from './drift-overview.ts';
import { addEventCommands } from './events.ts';
import { addExperimentCommands } from './experiments.ts';
import { addForecastCommands } from './forecast.ts';
import { addLoadCommands } from './load.ts';
import { addMetricsCommands } from './metrics.ts';
import { addModelCommands } from './models.ts';
import { addRightsizingCommands } from './rightsizing.ts';
import { addStatusCommand } from './status.ts';
import { addStoreCommands } from './store.ts';
import { addTrainCommands } from './train.ts';
import { addWebhookCommands } from './webhooks.ts';

/** Every command except `serve`. */
export function addCommands(program: Command, context: CliContext): void {
  addModelCommands(program, context);
  addDriftOverviewCommands(program, context);
  addEventCommands(program, context);
  addWebhookCommands(program, context);
  addMetricsCommands(program, context);
  addForecastCommands(program, context);
  addCacheCommands(program, context);
  addTrainCommands(program, context);
  addRightsizingCommands(program, context);
  addExperimentCommands(program, context);
  addLoadCommands(program, context);
  addStatusCommand(program, context);
  addAccessCommands(program, context);
  addStoreCommands(program, context);
  addCompletionCommand(program, context);
}
