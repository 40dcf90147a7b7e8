import { describe, expect, it } from 'vitest';
import { migrations } from '#store/migrate.ts';

/** Names created by a statement, and the columns of a table. */
function shapeOf(statement: string): string {
  const [, what, columns = ''] =
    /^(create (?:unique )?(?:table|index) \w+|insert into \w+)[^(]*\(([\s\S]*)\)/.exec(statement) ?? [];
  if (!what?.startsWith('create table')) return `${what} ${columns.replace(/\s+/g, ' ')}`;
  const names = columns
    .split(/,(?![^(]*\))/)
    .map((column) => column.trim().replace(/\s+/g, ' '))
    .map((column) => (/^(primary key|unique|check)/.test(column) ? column : column.split(' ')[0]));
  return `${what}: ${names.join(', ')}`;
}

describe('migrations', () => {
  it('create the same tables, columns, keys and indexes in SQLite and PostgreSQL', () => {
    const all = Object.values(migrations).flat();
    expect(all.length).toBeGreaterThan(5);
    for (const { sqlite, postgres } of all) expect(postgres.map(shapeOf)).toEqual(sqlite.map(shapeOf));
  });

  it('sort every text column of PostgreSQL by bytes', () => {
    const statements = Object.values(migrations).flatMap((list) => list.flatMap(({ postgres }) => postgres));
    for (const statement of statements.filter((each) => each.startsWith('create table')))
      expect(statement).not.toMatch(/ text(?! collate "C")/);
  });
});
