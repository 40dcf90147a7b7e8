import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import { readConfig } from '#config/config.ts';
import { invalid, notFound, TowerError } from '#kernel/errors.ts';
import type { KeyRequest } from '#services/access/schemas.ts';
import { openAccess } from '../../offline.ts';
import type { CliContext } from '../context.ts';
import { card, table } from '../table.ts';

/**
 * `tower token …` and `tower audit …`: work on the data folder (DATA_DIRECTORY), so that only its owner can make the
 * first key and check the log.
 */
export function addAccessCommands(program: Command, context: CliContext): void {
  const here = async <T>(work: (door: Door) => Promise<T>): Promise<T> => {
    const { config, secrets } = readConfig(context.env, 'sign');
    const door = await openAccess(config, secrets);
    try {
      await door.access.audit.begin();
      return await work(door);
    } finally {
      await door.store.close();
    }
  };
  addTokenCommands(program, context, here);
  addAuditCommands(program, context, here);
}

type Door = Awaited<ReturnType<typeof openAccess>>;
type Here = <T>(work: (door: Door) => Promise<T>) => Promise<T>;
function addTokenCommands(program: Command, context: CliContext, here: Here): void {
  const token = program.command('token').description('API keys, made in the data folder of this machine');

  token
    .command('create')
    .description('make an API key and show it, this once')
    .requiredOption('--name <name>', 'what the key is for')
    .option('--scope <scope...>', 'read, operate, approve or admin; may be repeated', ['read'])
    .option('--days <number>', 'how long it is in force', '90')
    .action(async (flags: { name: string; scope: string[]; days: string }) => {
      const scopes = flags.scope.map(checkedScope);
      const days = /^\d{1,4}$/.test(flags.days) ? Number(flags.days) : 0;
      if (days < 1 || days > 3650)
        throw invalid(`--days must be a whole number from 1 to 3650, not ${JSON.stringify(flags.days)}`);
      const made = await here(async ({ access }) => {
        const note = noteOf('tower token create', { name: flags.name, scopes, days });
        await access.audit.record({ ...note, phase: 'requested', status: null });
        const key = await access.keys.create({ name: flags.name, scopes, expires_in_days: days }, note.actor);
        await access.audit.record({ ...note, phase: 'done', details: { id: key.id }, status: null });
        return key;
      });
      context.print(made, ({ key, ...rest }) => `${card(Object.entries(rest))}\n\n${key}`);
    });

  token
    .command('list')
    .description('list the API keys')
    .action(async () => {
      const keys = await here(({ access }) => access.keys.list());
      context.print(keys, (list) =>
        list.length === 0
          ? 'There are no keys yet.'
          : table(
              ['ID', 'NAME', 'SCOPES', 'STATE', 'EXPIRES', 'LAST USED'],
              list.map((key) => [key.id, key.name, key.scopes, key.state, key.expires_at, key.last_used_at]),
            ),
      );
    });

  token
    .command('revoke <id>')
    .description('make an API key useless')
    .action(async (id: string) => {
      // A whole key passed by mistake must not appear in the log.
      if (!/^[0-9a-f]{12}$/.test(id))
        throw invalid('the id of a key has 12 letters and digits; "tower token list" shows it');
      await here(async ({ access }) => {
        const note = noteOf('tower token revoke', { id });
        await access.audit.record({ ...note, phase: 'requested', status: null });
        await access.keys.revoke(id);
        await access.audit.record({ ...note, phase: 'done', details: {}, status: null });
      });
      context.print({ revoked: id }, () => `The key ${id} is of no use any more`);
    });
}

function addAuditCommands(program: Command, context: CliContext, here: Here): void {
  const audit = program.command('audit').description('the log of every change');

  audit
    .command('verify')
    .description('check that no row was changed, left out, moved, added or cut off')
    .option('--file <path>', 'check an exported log instead of the one in the data folder')
    .option('--against <path>', 'an earlier export: the log must go on from it')
    .action(async (flags: { file?: string; against?: string }) => {
      const { DATA_DIRECTORY: folder } = readConfig(context.env).config;
      if (flags.file === undefined && !existsSync(join(folder, 'tower.db')))
        throw notFound(`there is no audit log in ${folder} (DATA_DIRECTORY)`);
      const [file, earlier] = [await bytesOf('--file', flags.file), await bytesOf('--against', flags.against)];
      const found = await here(({ access }) =>
        file === null ? access.audit.verify(earlier) : access.audit.verifyExport(file, earlier),
      );
      if (found.problem !== null)
        throw new TowerError('internal', `The audit log is NOT as it was written: ${found.problem}`);
      const where = flags.file ?? `DATA_DIRECTORY ${folder}`;
      context.print(found, ({ rows }) => `The audit log is whole: ${rows} rows in ${where}`);
    });

  audit
    .command('export')
    .description('print the log as JSON lines')
    .action(() =>
      here(async ({ access }) => {
        for await (const line of access.audit.export()) context.out(line.trimEnd());
      }),
    );
}

async function bytesOf(option: string, path: string | undefined): Promise<Uint8Array | null> {
  if (path === undefined) return null;
  return readFile(path).catch((error: NodeJS.ErrnoException) => {
    throw invalid(`${option} ${path} cannot be read (${error.code})`);
  });
}

type Scope = KeyRequest['scopes'][number];

function checkedScope(word: string): Scope {
  if (['read', 'operate', 'approve', 'admin'].includes(word)) return word as Scope;
  throw new TowerError('invalid', `--scope must be read, operate, approve or admin, not ${JSON.stringify(word)}`);
}

/** Name of the operating-system user; the user id if there is no name. */
function noteOf(action: string, details: object) {
  let user = String(process.getuid?.() ?? 'unknown');
  try {
    user = userInfo().username;
  } catch {
    // A container may run as a user id without a name.
  }
  return { actor: `local ${user}`, via: 'local', address: 'local', action, target: {}, details, requestId: '-' };
}
