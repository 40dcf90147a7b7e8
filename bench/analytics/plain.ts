import { statSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { Client } from 'pg';
import type { NewPoint } from '#services/analytics/storage/keys.ts';

/** The rival: one row per point, an index, plain SQL. */
export type PlainTable = {
  insert(points: NewPoint[]): Promise<void>;
  /** Count, mean, minimum, maximum and p95 by hour, of one series or of all (null). */
  hourly(series: string | null, from: number, to: number): Promise<unknown>;
  bytes(): Promise<number>;
  /** Bytes of other tables in the same database. */
  sizeOf(...tables: string[]): Promise<number>;
  close(): Promise<void>;
};

export function plainSqlite(path: string): PlainTable {
  const file = new DatabaseSync(path);
  file.exec('pragma journal_mode = wal; pragma synchronous = normal');
  file.exec('create table plain (series text, at integer, value real, primary key (series, at)) without rowid');
  const insert = file.prepare('insert into plain values (?, ?, ?) on conflict do update set value = excluded.value');
  const hourly = (where: string) => `
    select hour, count(*), avg(value), min(value), max(value),
      max(case when place <= 1 + 0.95 * (total - 1) then value end)
    from (select at / 3600000 as hour, value,
        row_number() over (partition by at / 3600000 order by value) as place, count(*) over (partition by at / 3600000) as total
      from plain where ${where} at >= ? and at < ?)
    group by hour`;
  const [one, all] = [file.prepare(hourly('series = ? and')), file.prepare(hourly(''))];
  return {
    insert: async (points) => {
      file.exec('begin');
      for (const { resource, at, value } of points) insert.run(resource, at, value);
      file.exec('commit');
    },
    hourly: async (series, from, to) => (series === null ? all.all(from, to) : one.all(series, from, to)),
    bytes: async () => statSync(path).size,
    sizeOf: async () => 0,
    close: async () => file.close(),
  };
}

export async function plainPostgres(url: string): Promise<PlainTable> {
  const client = new Client({ connectionString: url });
  await client.connect();
  await client.query('create table plain (series text, at bigint, value double precision, primary key (series, at))');
  const hourly = (where: string) => `
    select at / 3600000 as hour, count(*), avg(value), min(value), max(value),
      percentile_cont(0.95) within group (order by value)
    from plain where ${where} at >= $1 and at < $2 group by hour`;
  const sizeOf = async (...tables: string[]) => {
    let bytes = 0;
    for (const table of tables) {
      const { rows } = await client.query<{ bytes: string }>('select pg_total_relation_size($1) as bytes', [table]);
      bytes += Number(rows[0]?.bytes);
    }
    return bytes;
  };
  return {
    insert: async (points) => {
      await client.query({
        name: 'insert',
        text: `insert into plain select * from unnest($1::text[], $2::bigint[], $3::float8[])
          on conflict (series, at) do update set value = excluded.value`,
        values: [points.map(({ resource }) => resource), points.map(({ at }) => at), points.map(({ value }) => value)],
      });
    },
    hourly: async (series, from, to) =>
      series === null
        ? client.query(hourly(''), [from, to])
        : client.query(hourly('series = $3 and'), [from, to, series]),
    bytes: () => sizeOf('plain'),
    sizeOf,
    close: () => client.end(),
  };
}
