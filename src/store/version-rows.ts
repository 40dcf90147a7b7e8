import type { Transaction } from './store.ts';

/** Rows that users attached to a version of a model: that it is monitored, its observations and its baselines. */
const tables = ['monitored_models', 'observations', 'drift_baselines'] as const;

/** `kind`: the model was renamed, or another version took the place of one that was deleted. */
export type VersionMove =
  | { kind: 'renamed'; from: string; to: string; at: string }
  | {
      kind: 'replaced';
      name: string;
      version: string;
      /** Creation times of the former version and of the one in its place; null: unknown. */
      from: number | null;
      to: number | null;
    };

/**
 * Lets attached rows follow renamed models, and keeps those of a deleted version apart from a new one of the same number.
 * They stay in the store as version `3@<creation time>`, in case the deleted version comes back (a lost permission).
 */
export async function moveVersionRows(transaction: Transaction, registry: string, moves: VersionMove[]): Promise<void> {
  for (const move of moves)
    for (const table of tables) {
      if (move.kind === 'renamed') {
        // Whatever has the new name belongs to a former model of that name.
        await setAside(transaction, table, registry, move.to, move.at);
        await transaction
          .updateTable(table)
          .set({ name: move.to })
          .where('registry', '=', registry)
          .where('name', '=', move.from)
          .execute();
      } else {
        const { name, version, from, to } = move;
        await renumber(transaction, table, { registry, name }, version, asideAs(version, from));
        if (to !== null) await renumber(transaction, table, { registry, name }, asideAs(version, to), version);
      }
    }
}

const asideAs = (version: string, createdAt: number | string | null): string => `${version}@${createdAt ?? 'unknown'}`;

/** Whether rows of this version are set aside: the versions of MLflow are numbers. */
export const isSetAside = (version: string): boolean => version.includes('@');

type Model = { registry: string; name: string };

async function renumber(
  transaction: Transaction,
  table: (typeof tables)[number],
  { registry, name }: Model,
  from: string,
  to: string,
): Promise<void> {
  const rows = (version: string) =>
    [
      ['registry', registry],
      ['name', name],
      ['version', version],
    ] as const;
  // Rows set aside earlier under this name are replaced.
  let removal = transaction.deleteFrom(table);
  const found = await transaction
    .selectFrom(table)
    .select('version')
    .where('registry', '=', registry)
    .where('name', '=', name)
    .where('version', '=', from)
    .limit(1)
    .executeTakeFirst();
  if (found === undefined) return;
  for (const [column, value] of rows(to)) removal = removal.where(column, '=', value);
  await removal.execute();
  let update = transaction.updateTable(table).set({ version: to });
  for (const [column, value] of rows(from)) update = update.where(column, '=', value);
  await update.execute();
}

async function setAside(
  transaction: Transaction,
  table: (typeof tables)[number],
  registry: string,
  name: string,
  at: string,
): Promise<void> {
  const rows = await transaction
    .selectFrom(table)
    .select('version')
    .distinct()
    .where('registry', '=', registry)
    .where('name', '=', name)
    .execute();
  for (const { version } of rows)
    if (!isSetAside(version)) await renumber(transaction, table, { registry, name }, version, asideAs(version, at));
}
