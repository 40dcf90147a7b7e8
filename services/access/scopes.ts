/** Permissions of a client. `admin` includes all; `operate` and `approve` include reading, but not each other. */
export const scopes = ['read', 'operate', 'approve', 'admin'] as const;
export type Scope = (typeof scopes)[number];

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
  caller.scopes.includes('admin') || caller.scopes.includes(needed) || (needed === 'read' && caller.scopes.length > 0);

export const isScope = (word: string): word is Scope => (scopes as readonly string[]).includes(word);
