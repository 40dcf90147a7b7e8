/** What somebody may do. `admin` may everything; `operate` and `approve` may read as well, but not do each other's. */
export const scopes = ['read', 'operate', 'approve', 'admin'] as const;
export type Scope = (typeof scopes)[number];

/** Who is asking. */
export type Caller = {
  /** As the audit log has it: `key ci (a1b2c3)`, the subject of a token, `anonymous`. */
  name: string;
  via: 'none' | 'api_key' | 'jwt' | 'signature' | 'local';
  scopes: readonly Scope[];
};

/** While authentication is off, whoever reaches the tower may do everything. */
export const anyone: Caller = { name: 'anonymous', via: 'none', scopes: ['admin'] };

export const mayDo = (caller: Caller, needed: Scope): boolean =>
  caller.scopes.includes('admin') || caller.scopes.includes(needed) || (needed === 'read' && caller.scopes.length > 0);

export const isScope = (word: string): word is Scope => (scopes as readonly string[]).includes(word);
