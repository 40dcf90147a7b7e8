/** API keys, and who did what: rows that hang together, with their head and count kept apart. */
export const up = [
  `create table api_keys (
    id text primary key,
    name text not null,
    hash text not null,
    scopes text not null,
    created_by text not null,
    created_at text not null,
    expires_at text not null,
    last_used_at text,
    revoked_at text
  ) strict`,
  `create table audit (
    seq integer primary key,
    at text not null,
    phase text not null check (phase in ('requested', 'done')),
    actor text not null,
    via text not null,
    address text not null,
    action text not null,
    target text not null,
    details text not null,
    status integer,
    request_id text not null,
    hash text not null
  ) strict`,
  `create table audit_head (
    id integer primary key check (id = 1),
    count integer not null,
    hash text not null,
    seal text not null
  ) strict`,
  // Sealed at the first start; a head that is missing later was taken away.
  `insert into audit_head (id, count, hash, seal) values (1, 0, '${'0'.repeat(64)}', '')`,
];
