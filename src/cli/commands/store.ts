import { resolve } from 'node:path';
import type { Command } from 'commander';
import { packageVersion, readConfig } from '#config/config.ts';
import { migrateStore, placeOf, rotateKey, storeCopies } from '../../offline.ts';
import type { CliContext } from '../context.ts';
import { table } from '../table.ts';
import { noteOf } from './access.ts';

type Place = ReturnType<typeof placeOf>;

/**
 * `tower store …`: works on the data directory (DATA_DIRECTORY), or on the PostgreSQL of DATABASE_URL. A server may run
 * meanwhile, except for restore.
 */
export function addStoreCommands(program: Command, context: CliContext): void {
  const store = program
    .command('store')
    .description('back up, restore, migrate and verify the data directory or PostgreSQL');
  const place = () => {
    const { config, secrets } = readConfig(context.env);
    return placeOf(config, secrets);
  };
  addCopying(store, context, place);
  addChecking(store, context, place);
  addRotation(store, context);
}

function addRotation(store: Command, context: CliContext): void {
  store
    .command('rotate-key')
    .description('replace the secret key and sign the audit log with the new one; stop all servers first')
    .option('--lost', 'the current key is lost: sign the audit log without verifying it')
    .action(async ({ lost = false }: { lost?: boolean }) => {
      const { config, secrets } = readConfig(context.env);
      const entryOf = (details: object) => noteOf('rotate the secret key', details);
      const onKey = (key: string) => context.out(`TOWER_SECRET_KEY=${key}`);
      const rotated = await rotateKey(config, secrets, { isLost: lost, entryOf, onKey });
      context.print(rotated, ({ rows, webhooks }) =>
        [
          `signed ${rows} rows of the audit log with the new key${secrets.masterKey === undefined ? ', which is in tower.key' : ': set it on all instances'}`,
          ...webhooks.map(({ id, secret }) => `webhook ${id} signs with ${secret} from now on`),
          'exports of the audit log before this verify with the old key only',
        ].join('\n'),
      );
    });
}

function addCopying(store: Command, context: CliContext, place: () => Place): void {
  store
    .command('backup <directory>')
    .description('copy databases and models into a new directory; instances can keep running')
    .action(async (directory: string) => {
      const manifest = await storeCopies.backupStore(place(), resolve(directory), packageVersion(), Date.now());
      context.print(manifest, ({ files }) =>
        [
          table(
            ['FILE', 'BYTES'],
            files.map(({ name, bytes }) => [name, bytes]),
          ),
          '',
          `${resolve(directory)}; store tower.key (or TOWER_SECRET_KEY) separately: it is required to verify signatures`,
        ].join('\n'),
      );
    });
  store
    .command('restore <directory>')
    .description('restore a backup into an empty data directory or PostgreSQL database')
    .action(async (directory: string) => {
      const manifest = await storeCopies.restoreStore(resolve(directory), place());
      context.print(manifest, ({ made_at, files }) =>
        place().databaseUrl === undefined
          ? `restored ${files.length} files of ${made_at} to ${place().directory}; copy the tower.key of that time there before you start`
          : `restored ${files.length} files of ${made_at} to the database; set TOWER_SECRET_KEY to the content of the tower.key of that time before you start`,
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
    .description('migrate the databases to the current schema; a start does this too')
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
    .command('verify [directory]')
    .description('check the integrity of the data directory or a backup; exit code 1 if it is damaged')
    .action(async (directory: string | undefined) => {
      const checked = await (directory === undefined ? verify() : storeCopies.verifyStore(resolve(directory)));
      context.print(checked, (files) =>
        table(
          ['FILE', 'BYTES', 'SCHEMA', 'RESULT'],
          files.map(({ name, bytes, schema, problems }) => [name, bytes, schema, problems.join('; ') || 'ok']),
        ),
      );
      if (checked.some(({ problems }) => problems.length > 0)) process.exitCode = 1;
    });
}
