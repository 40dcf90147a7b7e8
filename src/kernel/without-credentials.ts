/**
 * A value as it may be shown in an error: what stands before an `@` may be a user and a password, and a query may hold a
 * token. Both are replaced by `…`, in each item of a list.
 */
export const withoutCredentials = (text: string): string =>
  text.replaceAll(/[^\s,]+/g, (item) =>
    item.replace(/^([a-z][a-z0-9+.=-]*:\/*)?.*@/is, '$1…@').replace(/^([a-z][a-z0-9+.=-]*:\/\/[^?]*\?).*$/is, '$1…'),
  );
