import { resolve } from 'node:path';
import type { Command } from 'commander';
import { migrateStore, storeCopies } from '../../compose.ts';
import { packageVersion, readConfig } from '../../config.ts';
import type { CliContext } from '../main.ts';
import { table } from '../table.ts';

/** `tower store …`: works on the data folder itself (DATA_DIRECTORY); a tower may run meanwhile, but for restore. */
export function addStoreCommands(program: Command, context: CliContext): void {
  const store = program.command('store').description('the data folder: backup, restore, migrate, verify');
  const directory = () => readConfig(context.env).config.DATA_DIRECTORY;
  store
    .command('backup <folder>')
    .description('copy databases and models into a new folder; towers may go on')
    .action(async (folder: string) => {
      const manifest = await storeCopies.backupStore(directory(), resolve(folder), packageVersion(), Date.now());
      context.print(manifest, ({ files }) =>
        [
          table(
            ['FILE', 'BYTES'],
            files.map(({ name, bytes }) => [name, bytes]),
          ),
          '',
          `${resolve(folder)}; keep tower.key (or TOWER_SECRET_KEY) apart from it: signatures hang on it`,
        ].join('\n'),
      );
    });
  store
    .command('restore <folder>')
    .description('put a backup into a data folder that has no store yet')
    .action(async (folder: string) => {
      const manifest = await storeCopies.restoreStore(resolve(folder), directory());
      context.print(
        manifest,
        ({ made_at, files }) =>
          `${files.length} files of ${made_at} are in ${directory()}; put the tower.key of that time beside them before you start`,
      );
    });
  store
    .command('migrate')
    .description('bring the databases to the schema of this program; a start does so too')
    .action(async () => {
      await migrateStore({ directory: directory() });
      const checked = await storeCopies.verifyStore(directory());
      context.print(checked, (files) =>
        table(
          ['FILE', 'SCHEMA'],
          files.map(({ name, schema }) => [name, schema]),
        ),
      );
    });
  store
    .command('verify [folder]')
    .description('look through every page of the data folder, or of a backup; exit code 1 where something is wrong')
    .action(async (folder: string | undefined) => {
      const checked = await storeCopies.verifyStore(folder === undefined ? directory() : resolve(folder));
      context.print(checked, (files) =>
        table(
          ['FILE', 'BYTES', 'SCHEMA', 'WRONG'],
          files.map(({ name, bytes, schema, problems }) => [name, bytes, schema, problems.join('; ') || 'nothing']),
          120,
        ),
      );
      if (checked.some(({ problems }) => problems.length > 0)) process.exitCode = 1;
    });
}
