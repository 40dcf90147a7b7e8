import { resolve } from 'node:path';
import type { Command } from 'commander';
import { packageVersion, readConfig } from '#config/config.ts';
import { migrateStore, placeOf, storeCopies } from '../../offline.ts';
import type { CliContext } from '../context.ts';
import { table } from '../table.ts';

type Place = ReturnType<typeof placeOf>;

/**
 * `tower store …`: works on the data folder (DATA_DIRECTORY), or on the PostgreSQL of DATABASE_URL. A server may run
 * meanwhile, except for restore.
 */
export function addStoreCommands(program: Command, context: CliContext): void {
  const store = program.command('store').description('the data folder or PostgreSQL: backup, restore, migrate, verify');
  const place = () => {
    const { config, secrets } = readConfig(context.env);
    return placeOf(config, secrets);
  };
  addCopying(store, context, place);
  addChecking(store, context, place);
}

function addCopying(store: Command, context: CliContext, place: () => Place): void {
  store
    .command('backup <folder>')
    .description('copy databases and models into a new folder; towers may go on')
    .action(async (folder: string) => {
      const manifest = await storeCopies.backupStore(place(), resolve(folder), packageVersion(), Date.now());
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
    .description('put a backup into a data folder that has no store yet, or into an empty PostgreSQL')
    .action(async (folder: string) => {
      const manifest = await storeCopies.restoreStore(resolve(folder), place());
      context.print(manifest, ({ made_at, files }) =>
        place().databaseUrl === undefined
          ? `${files.length} files of ${made_at} are in ${place().directory}; put the tower.key of that time beside them before you start`
          : `${files.length} files of ${made_at} are in the database; set TOWER_SECRET_KEY to what stood in the tower.key of that time before you start`,
      );
    });
}

function addChecking(store: Command, context: CliContext, place: () => Place): void {
  const verify = () => {
    const { directory, databaseUrl } = place();
    return databaseUrl === undefined ? storeCopies.verifyStore(directory) : storeCopies.verifyPostgres(databaseUrl);
  };
  store
    .command('migrate')
    .description('bring the databases to the schema of this program; a start does so too')
    .action(async () => {
      await migrateStore(place());
      const checked = await verify();
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
      const checked = await (folder === undefined ? verify() : storeCopies.verifyStore(resolve(folder)));
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
