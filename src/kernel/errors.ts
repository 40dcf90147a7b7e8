/** The eight ways a call can fail. `src/http/errors.ts` holds the only map from these to HTTP. */
export type ErrorCode =
  | 'invalid'
  | 'unauthenticated'
  | 'forbidden'
  | 'not_found'
  | 'conflict'
  | 'limited'
  | 'unavailable'
  | 'internal';

/** What may be shown with an error: names of fields, rules, bounds. Never a secret. */
export type ErrorDetails = Record<string, unknown>;

/**
 * An error with a public text (shown to the caller) and a private cause (logged only).
 * `retryAfterSeconds` is set where trying again can help.
 */
export class TowerError extends Error {
  readonly code: ErrorCode;
  readonly details: ErrorDetails;
  readonly retryAfterSeconds: number | undefined;

  constructor(
    code: ErrorCode,
    publicText: string,
    options: { details?: ErrorDetails; cause?: unknown; retryAfterSeconds?: number } = {},
  ) {
    super(publicText, options.cause === undefined ? {} : { cause: options.cause });
    this.name = 'TowerError';
    this.code = code;
    this.details = options.details ?? {};
    this.retryAfterSeconds = options.retryAfterSeconds;
  }
}

/** A value the caller sent breaks a rule. `parameter` names the field, `constraint` the rule. */
export const invalid = (text: string, details?: ErrorDetails): TowerError =>
  new TowerError('invalid', text, details ? { details } : {});

/** Nobody knows who is asking. */
export const unauthenticated = (text: string, details?: ErrorDetails): TowerError =>
  new TowerError('unauthenticated', text, details ? { details } : {});

/** Who is asking may not. */
export const forbidden = (text: string, details?: ErrorDetails): TowerError =>
  new TowerError('forbidden', text, details ? { details } : {});

export const notFound = (text: string, details?: ErrorDetails): TowerError =>
  new TowerError('not_found', text, details ? { details } : {});

export const conflict = (text: string, details?: ErrorDetails): TowerError =>
  new TowerError('conflict', text, details ? { details } : {});

/** Something outside is down or slow; trying again later can help. */
export const unavailable = (text: string, cause?: unknown, retryAfterSeconds = 5): TowerError =>
  new TowerError('unavailable', text, { cause, retryAfterSeconds });

/** Something outside is not as settings say, or does not let in: somebody has to act before trying again can help. */
export const misconfigured = (text: string, details?: ErrorDetails): TowerError =>
  new TowerError('unavailable', text, details ? { details } : {});

/** Whether it is down or slow now, and may not be later. */
export const isPassing = (error: unknown): error is TowerError =>
  error instanceof TowerError && error.code === 'unavailable' && error.retryAfterSeconds !== undefined;

/** The text of an error that may be shown: ours is public, anybody else's is not. */
export const publicText = (error: unknown): string =>
  error instanceof TowerError ? error.message : 'an unexpected error; the log has the details';
