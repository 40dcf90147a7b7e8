import { readFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import type { Command } from 'commander';
import { readConfig } from '#config/config.ts';
import { invalid, TowerError } from '#kernel/errors.ts';
import type { KeyRequest } from '#services/access/schemas.ts';
import { openAccess, requireStore, verifyAuditExport } from '../../offline.ts';
import type { CliContext } from '../context.ts';
import { card, table } from '../table.ts';

/**
 * `tower token …` and `tower audit …`: work on the data directory (DATA_DIRECTORY), so that only its owner can make the
 * first key and check the log.
 */
export function addAccessCommands(program: Command, context: CliContext): void {
  const withAccess: WithAccess = async (work, mayCreate = false) => {
    const { config, secrets } = readConfig(context.env, 'sign');
    if (!mayCreate) requireStore(config, secrets);
    const opened = await openAccess(config, secrets);
    try {
      await opened.access.audit.begin();
      return await work(opened);
    } finally {
      await opened.store.close();
    }
  };
  addTokenCommands(program, context, withAccess);
  addAuditCommands(program, context, withAccess);
}

type Opened = Awaited<ReturnType<typeof openAccess>>;
/** @param mayCreate - whether a missing store is created; only a command that writes may do so */
type WithAccess = <T>(work: (opened: Opened) => Promise<T>, mayCreate?: boolean) => Promise<T>;

function addTokenCommands(program: Command, context: CliContext, withAccess: WithAccess): void {
  const token = program.command('token').description('manage API keys in the local data directory or database');

  token
    .command('create')
    .description('create an API key and print it, once')
    .requiredOption('--name <name>', 'purpose of the key')
    .option('--scope <scope...>', 'metrics, record, read, operate, approve or admin; can be repeated', ['read'])
    .option('--days <number>', 'days until the key expires', '90')
    .action(async (flags: { name: string; scope: string[]; days: string }) => {
      const scopes = flags.scope.map(checkedScope);
      const days = /^\d{1,4}$/.test(flags.days) ? Number(flags.days) : 0;
      if (days < 1 || days > 3650)
        throw invalid(`--days must be an integer between 1 and 3650 (got ${JSON.stringify(flags.days)})`);
      const made = await withAccess(async ({ access }) => {
        const note = noteOf('tower token create', { name: flags.name, scopes, days });
        await access.audit.record({ ...note, phase: 'requested', status: null });
        const key = await access.keys.create({ name: flags.name, scopes, expires_in_days: days }, note.actor);
        await access.audit.record({ ...note, phase: 'done', details: { id: key.id }, status: null });
        return key;
      }, true);
      context.print(
        made,
        ({ key, ...rest }) => `${card(Object.entries(rest))}\n\nThe key, which is shown only now:\n${key}`,
      );
    });

  token
    .command('list')
    .description('list API keys')
    .action(async () => {
      const keys = await withAccess(({ access }) => access.keys.list());
      context.print(keys, (list) =>
        list.length === 0
          ? 'No API keys.'
          : table(
              ['ID', 'NAME', 'SCOPES', 'STATE', 'EXPIRES', 'LAST USED'],
              list.map((key) => [key.id, key.name, key.scopes, key.state, key.expires_at, key.last_used_at]),
            ),
      );
    });

  token
    .command('revoke <id>')
    .description('revoke an API key')
    .action(async (id: string) => {
      // A whole key passed by mistake must not appear in the log.
      if (!/^[0-9a-f]{12}$/.test(id))
        throw invalid('a key id must be 12 hexadecimal digits; "tower token list" shows it');
      await withAccess(async ({ access }) => {
        const note = noteOf('tower token revoke', { id });
        await access.audit.record({ ...note, phase: 'requested', status: null });
        await access.keys.revoke(id);
        await access.audit.record({ ...note, phase: 'done', details: {}, status: null });
      });
      context.print({ revoked: id }, () => `revoked key ${id}`);
    });
}

function addAuditCommands(program: Command, context: CliContext, withAccess: WithAccess): void {
  const audit = program.command('audit').description('export or verify the audit log of changes');

  audit
    .command('verify')
    .description('verify that no entry was changed, removed, reordered, added or truncated')
    .option('--file <path>', 'verify an exported log instead of the one in the data directory')
    .option('--against <path>', 'an earlier export, which the log must continue')
    .action(async (flags: { file?: string; against?: string }) => {
      const [file, earlier] = [await bytesOf('--file', flags.file), await bytesOf('--against', flags.against)];
      const { config, secrets } = readConfig(context.env, 'sign');
      const found =
        file === null
          ? await withAccess(({ access }) => access.audit.verify(earlier))
          : await verifyAuditExport(config, secrets, file, earlier);
      if (found.problem !== null)
        throw new TowerError('internal', `Verification of the audit log FAILED: ${found.problem}`);
      const where = flags.file ?? `DATA_DIRECTORY ${config.DATA_DIRECTORY}`;
      context.print(found, ({ rows }) => `Audit log verified: ${rows} entries in ${where}`);
    });

  audit
    .command('export')
    .description('print the log as JSON lines')
    .action(() =>
      withAccess(async ({ access }) => {
        for await (const line of access.audit.export()) context.out(line.trimEnd());
      }),
    );
}

async function bytesOf(option: string, path: string | undefined): Promise<Uint8Array | null> {
  if (path === undefined) return null;
  return readFile(path).catch((error: NodeJS.ErrnoException) => {
    throw invalid(`cannot read ${option} ${path} (${error.code})`);
  });
}

type Scope = KeyRequest['scopes'][number];

function checkedScope(word: string): Scope {
  if (['metrics', 'record', 'read', 'operate', 'approve', 'admin'].includes(word)) return word as Scope;
  throw new TowerError(
    'invalid',
    `--scope must be metrics, record, read, operate, approve or admin (got ${JSON.stringify(word)})`,
  );
}

/** An audit record by the operating-system user. */
export function noteOf(action: string, details: object) {
  let user = String(process.getuid?.() ?? 'unknown');
  try {
    user = userInfo().username;
  } catch {
    // A container may run as a user id without a name.
  }
  return { actor: `local ${user}`, via: 'local', address: 'local', action, target: {}, details, requestId: '-' };
}
