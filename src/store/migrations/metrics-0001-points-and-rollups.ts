/** Series, the points of open hours, and what sealed hours and days hold. */
export const up = [
  // Never the same id again: who remembers one of a series that went must not meet another series there.
  `create table series (
    id integer primary key autoincrement,
    metric text not null,
    resource text not null,
    labels text not null,
    unique (metric, resource, labels)
  ) strict`,
  'create index series_by_resource on series (resource)',
  `create table points (
    series_id integer not null references series (id),
    at integer not null,
    value real,
    bits blob,
    primary key (series_id, at)
  ) strict, without rowid`,
  // Figures before blobs: reading the former then leaves the latter's pages alone.
  `create table rollups (
    series_id integer not null references series (id),
    step integer not null,
    start integer not null,
    count integer not null,
    sum real not null,
    min real,
    max real,
    squares real not null,
    sketch blob not null,
    points blob,
    primary key (series_id, step, start)
  ) strict`,
];
