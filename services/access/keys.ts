import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Clock } from '#kernel/clock.ts';
import { notFound } from '#kernel/errors.ts';
import type { Store } from '#store/store.ts';
import type { Selectable, Tables } from '#store/tables.ts';
import type { KeyCreated, KeyInfo, KeyRequest } from './schemas.ts';
import { type Caller, isScope } from './scopes.ts';

/** API keys: shown once, stored as a hash, with scopes and an expiry. */
export type Keys = {
  /** The only answer that contains the key. */
  create(request: KeyRequest, by: string): Promise<KeyCreated>;
  list(): Promise<KeyInfo[]>;
  /** @throws `not_found` for an unknown or already revoked key */
  revoke(id: string): Promise<void>;
  /** The client that owns this key; null if the key is invalid, expired or revoked. */
  identify(key: string): Promise<Caller | null>;
};

type Row = Selectable<Tables['api_keys']>;

const dayMs = 86_400_000;
/** Minimum interval between writes of the time of last use. */
const useNotedEveryMs = 60_000;
/** `tower_` id `_` secret: the fixed prefix lets secret scanners recognise leaked keys. */
const form = /^tower_([a-z0-9]{12})_([A-Za-z0-9_-]{43})$/;

export const looksLikeKey = (text: string): boolean => text.startsWith('tower_');

export function createKeys({ store, clock }: { store: Store; clock: Clock }): Keys {
  return {
    create: async (request, by) => {
      const id = randomBytes(6).toString('hex');
      const secret = randomBytes(32).toString('base64url');
      const now = clock.now();
      const row: Row = {
        id,
        name: request.name,
        hash: hashOf(secret),
        scopes: [...new Set(request.scopes)].join(' '),
        created_by: by,
        created_at: new Date(now).toISOString(),
        expires_at: new Date(now + request.expires_in_days * dayMs).toISOString(),
        last_used_at: null,
        revoked_at: null,
      };
      await (await store.db()).insertInto('api_keys').values(row).execute();
      return { ...infoOf(row, now), key: `tower_${id}_${secret}` };
    },
    list: async () => {
      const rows = await (await store.db())
        .selectFrom('api_keys')
        .selectAll()
        .orderBy('created_at')
        .orderBy('id')
        .execute();
      return rows.map((row) => infoOf(row, clock.now()));
    },
    revoke: async (id) => {
      const { numUpdatedRows } = await (await store.db())
        .updateTable('api_keys')
        .set({ revoked_at: new Date(clock.now()).toISOString() })
        .where('id', '=', id)
        .where('revoked_at', 'is', null)
        .executeTakeFirst();
      if (numUpdatedRows === 0n) throw notFound('no active API key has this id', { parameter: 'key_id' });
    },
    identify: (key) => identify(store, clock, key),
  };
}

async function identify(store: Store, clock: Clock, key: string): Promise<Caller | null> {
  const [, id = '', secret = ''] = form.exec(key) ?? [];
  const db = await store.db();
  const row = await db.selectFrom('api_keys').selectAll().where('id', '=', id).executeTakeFirst();
  // Constant time: an unknown key costs as much as a wrong one.
  const presentedHash = Buffer.from(hashOf(secret));
  const fits = timingSafeEqual(presentedHash, Buffer.from(row?.hash ?? hashOf('unknown key')));
  const now = clock.now();
  if (!row || !fits || stateOf(row, now) !== 'active') return null;
  if (row.last_used_at === null || now - Date.parse(row.last_used_at) > useNotedEveryMs) {
    const at = new Date(now).toISOString();
    // In the background: a failed write of the last use neither delays nor refuses the request.
    db.updateTable('api_keys')
      .set({ last_used_at: at })
      .where('id', '=', id)
      .execute()
      .catch(() => undefined);
  }
  return { name: `key ${row.name} (${id})`, via: 'api_key', scopes: row.scopes.split(' ').filter(isScope) };
}

/** A 256-bit random key needs no slow hash: it cannot be guessed. */
const hashOf = (secret: string): string => createHash('sha256').update(secret).digest('hex');

function stateOf(row: Row, now: number): KeyInfo['state'] {
  if (row.revoked_at !== null) return 'revoked';
  return Date.parse(row.expires_at) <= now ? 'expired' : 'active';
}

const infoOf = (row: Row, now: number): KeyInfo => ({
  id: row.id,
  name: row.name,
  scopes: row.scopes.split(' ').filter(isScope),
  state: stateOf(row, now),
  created_by: row.created_by,
  created_at: row.created_at,
  expires_at: row.expires_at,
  last_used_at: row.last_used_at,
  revoked_at: row.revoked_at,
});
