/** What was posted of model versions, and what they are to be measured against. */
export const up = [
  `create table observations (
    registry text not null,
    name text not null,
    version text not null,
    key text not null,
    kind text not null check (kind in ('value', 'samples', 'histogram')),
    subject text not null,
    dataset text not null,
    at text not null,
    payload text not null,
    received_at text not null,
    primary key (registry, name, version, key)
  ) strict, without rowid`,
  'create index observations_by_time on observations (registry, name, version, at)',
  `create table drift_baselines (
    registry text not null,
    name text not null,
    version text not null,
    subject text not null,
    payload text not null,
    pinned_by text not null,
    pinned_at text not null,
    primary key (registry, name, version, subject)
  ) strict, without rowid`,
];
