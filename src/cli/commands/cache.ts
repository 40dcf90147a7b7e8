import type { Command } from 'commander';
import type { CacheStats } from '#services/registry/cache-schemas.ts';
import type { CliContext } from '../context.ts';
import { card } from '../table.ts';

/** `tower cache …`: the mirror and its cache file. */
export function addCacheCommands(program: Command, context: CliContext): void {
  const cache = program.command('cache').description('the mirror of the registry and its cache file');

  cache
    .command('info')
    .description('age and content of the mirror')
    .action(async () => {
      const info = await context.tower().get<{ cache_info: CacheStats }>('/cache/info');
      context.print(info, ({ cache_info: stats }) => {
        const { persistence, ...rest } = stats;
        return card([
          ...Object.entries(rest),
          ...Object.entries(persistence).map(([key, value]): [string, unknown] => [`file: ${key}`, value]),
        ]);
      });
    });

  cache
    .command('refresh')
    .description('refresh the mirror now')
    .action(async () => {
      const answer = await context.tower().post<{ message: string; models_synced: number }>('/cache/refresh');
      context.print(answer, ({ message, models_synced }) => `${message}: ${models_synced} model versions`);
    });

  cache
    .command('clear')
    .description('delete the cache file')
    .action(async () => {
      context.print(
        await context.tower().delete<{ message: string; note: string }>('/cache/clear'),
        ({ message, note }) => `${message}. ${note}`,
      );
    });
}
