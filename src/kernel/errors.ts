/** The eight error codes. `src/http/errors.ts` maps them to HTTP; nothing else does. */
export type ErrorCode =
  | 'invalid'
  | 'unauthenticated'
  | 'forbidden'
  | 'not_found'
  | 'conflict'
  | 'limited'
  | 'unavailable'
  | 'internal';

/** Details that may be shown with an error: field names, rules, bounds. Never a secret. */
export type ErrorDetails = Record<string, unknown>;

/**
 * An error with a public text (shown to the client) and a private cause (logged only). `retryAfterSeconds` is set if a
 * retry can succeed.
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

/** A value from the client breaks a rule. `parameter` names the field, `constraint` the rule. */
export const invalid = (text: string, details?: ErrorDetails): TowerError =>
  new TowerError('invalid', text, details ? { details } : {});

/** Authentication is required or failed. */
export const unauthenticated = (text: string, details?: ErrorDetails): TowerError =>
  new TowerError('unauthenticated', text, details ? { details } : {});

/** The client is authenticated but lacks the permission. */
export const forbidden = (text: string, details?: ErrorDetails): TowerError =>
  new TowerError('forbidden', text, details ? { details } : {});

export const notFound = (text: string, details?: ErrorDetails): TowerError =>
  new TowerError('not_found', text, details ? { details } : {});

export const conflict = (text: string, details?: ErrorDetails): TowerError =>
  new TowerError('conflict', text, details ? { details } : {});

/** An external system is down or slow; a retry can succeed. */
export const unavailable = (text: string, cause?: unknown, retryAfterSeconds = 5): TowerError =>
  new TowerError('unavailable', text, { cause, retryAfterSeconds });

/** An external system is misconfigured or denies access; a retry cannot succeed before an operator acts. */
export const misconfigured = (text: string, details?: ErrorDetails): TowerError =>
  new TowerError('unavailable', text, details ? { details } : {});

/** Whether the cause is an external system that is down or slow for now. */
export const isTransient = (error: unknown): error is TowerError =>
  error instanceof TowerError && error.code === 'unavailable' && error.retryAfterSeconds !== undefined;

/** The text of an error that may be shown: only our own errors have a public one. */
export const publicText = (error: unknown): string =>
  error instanceof TowerError ? error.message : 'unexpected error; the log has details';
