/**
 * Permissions of a client. `metrics`: scrape this service; `record`: send points and observations; `operate`: also refresh,
 * monitor, train, run load tests; `approve`: anything that changes a cluster or a baseline; `admin`: everything.
 */
export const scopes = ['metrics', 'record', 'read', 'operate', 'approve', 'admin'] as const;
export type Scope = (typeof scopes)[number];

/** What each scope includes besides itself. */
const included: Record<Scope, readonly Scope[]> = {
  metrics: [],
  record: [],
  read: ['metrics'],
  operate: ['record', 'read', 'metrics'],
  approve: ['read', 'metrics'],
  admin: scopes,
};

/** The authenticated client of a request. */
export type Caller = {
  /** Name in the audit log: `key ci (a1b2c3)`, the subject of a token, `anonymous`. */
  name: string;
  via: 'none' | 'api_key' | 'jwt' | 'signature' | 'local';
  scopes: readonly Scope[];
};

/** While authentication is off, every client has every permission. */
export const anonymous: Caller = { name: 'anonymous', via: 'none', scopes: ['admin'] };

export const mayDo = (caller: Caller, needed: Scope): boolean =>
  caller.scopes.some((scope) => scope === needed || included[scope].includes(needed));

export const isScope = (word: string): word is Scope => (scopes as readonly string[]).includes(word);
