import type { Clock } from '#kernel/clock.ts';
import { unauthenticated } from '#kernel/errors.ts';
import type { Outbound } from '#kernel/outbound.ts';
import { countOr } from '#kernel/query.ts';
import type { DeriveKey } from '#store/master-key.ts';
import type { Store } from '#store/store.ts';
import { type Audit, createAudit } from './audit.ts';
import type { AuditRow } from './audit-chain.ts';
import { createKeys, type Keys, looksLikeKey } from './keys.ts';
import type { AuditQuery, AuditRecord } from './schemas.ts';
import { anonymous, type Caller, mayDo, type Scope } from './scopes.ts';
import { createTokens, type TokenOptions } from './tokens.ts';

/** Authentication, authorization and audit. */
export type Access = {
  /** The client of every request while authentication is off; null = authentication is required. */
  anonymousCaller: Caller | null;
  mayDo(caller: Caller, needed: Scope): boolean;
  /** @throws `unauthenticated` for missing or invalid credentials */
  identify(credentials: string | undefined): Promise<Caller>;
  keys: Keys;
  audit: Audit;
  /** @throws `invalid` for a query that breaks a rule */
  auditPage(query: AuditQuery): Promise<{ records: AuditRecord[]; total: number; nextPageToken: string | null }>;
};

type Options = {
  required: boolean;
  /** null: tokens are not accepted, only keys. */
  tokens: TokenOptions | null;
  store: Store;
  clock: Clock;
  outbound: Outbound;
  deriveKey: DeriveKey;
  /** The data directory. */
  directory: string;
};

export function createAccess({ required, tokens, store, clock, outbound, deriveKey, directory }: Options): Access {
  const keys = createKeys({ store, clock });
  const audit = createAudit({ store, clock, deriveKey, directory });
  const ofTokens = tokens && createTokens(tokens, { outbound, clock });
  return {
    anonymousCaller: required ? null : anonymous,
    mayDo,
    identify: async (credentials) => {
      if (credentials === undefined)
        throw unauthenticated(
          'Authentication required: send Authorization: Bearer with an API key or a token, or X-API-Key',
        );
      if (!looksLikeKey(credentials) && ofTokens) return ofTokens.identify(credentials);
      const caller = await keys.identify(credentials);
      if (!caller) throw unauthenticated('Invalid, expired or revoked API key');
      return caller;
    },
    keys,
    audit,
    auditPage: async (query) => {
      const limit = countOr('limit', query.limit, 100, 1000);
      const before = query.page_token === undefined ? null : countOr('page_token', query.page_token, 0, 1e15);
      const { rows, total } = await audit.list(before, limit);
      const last = rows.at(-1)?.seq ?? 1;
      return { records: rows.map(recordOf), total, nextPageToken: last > 1 ? String(last) : null };
    },
  };
}

const recordOf = ({ target, details, ...row }: AuditRow): AuditRecord => ({
  ...row,
  target: JSON.parse(target),
  details: JSON.parse(details),
});
