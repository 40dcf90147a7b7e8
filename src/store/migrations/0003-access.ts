import type { Migration } from '../migration.ts';

/** API keys, and the audit log: chained rows, with head and count stored apart. */
export const up: Migration = {
  sqlite: [
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
    // Sealed at the first start; a head that is missing later was deleted by hand.
    `insert into audit_head (id, count, hash, seal) values (1, 0, '${'0'.repeat(64)}', '')`,
  ],
  // Byte order, as in SQLite, so that pages of names are cut at the same places.
  postgres: [
    `create table api_keys (
      id text collate "C" primary key,
      name text collate "C" not null,
      hash text collate "C" not null,
      scopes text collate "C" not null,
      created_by text collate "C" not null,
      created_at text collate "C" not null,
      expires_at text collate "C" not null,
      last_used_at text collate "C",
      revoked_at text collate "C"
    )`,
    `create table audit (
      seq bigint primary key,
      at text collate "C" not null,
      phase text collate "C" not null check (phase in ('requested', 'done')),
      actor text collate "C" not null,
      via text collate "C" not null,
      address text collate "C" not null,
      action text collate "C" not null,
      target text collate "C" not null,
      details text collate "C" not null,
      status bigint,
      request_id text collate "C" not null,
      hash text collate "C" not null
    )`,
    `create table audit_head (
      id bigint primary key check (id = 1),
      count bigint not null,
      hash text collate "C" not null,
      seal text collate "C" not null
    )`,
    `insert into audit_head (id, count, hash, seal) values (1, 0, '${'0'.repeat(64)}', '')`,
  ],
};
