import { invalid } from '#kernel/errors.ts';
import { isHeaderText } from '#kernel/header-text.ts';

/** A mirrored registry and its credentials. `uri` undefined = none is configured. */
export type RegistrySetting = {
  /** Its name in the store, in URLs and in answers if there are several. */
  name: string;
  uri: string | undefined;
  user: string | undefined;
  password: string | undefined;
  token: string | undefined;
  workspace: string | undefined;
};

/** Name of a single registry. */
export const onlyRegistry = 'default';

type Env = Record<string, string | undefined>;

/**
 * Parses MLFLOW_TRACKING_URI: a URL, or a list `name=url,name=url`. In a list, credentials and workspace of each
 * registry come from its URL or from variables with its name as suffix (`MLFLOW_TRACKING_TOKEN_PROD`), else from the
 * variables without suffix.
 * @throws TowerError `invalid` for a list that breaks a rule
 */
export function registriesOf(uri: string | undefined, env: Env): RegistrySetting[] {
  const entries = uri === undefined ? null : listOf(uri);
  if (!entries) return [withCredentials(onlyRegistry, uri, (variable) => env[variable])];
  return entries.map(({ name, address }) => {
    const suffix = `_${name.toUpperCase().replaceAll('-', '_')}`;
    const read = (variable: string) => {
      const own = env[`${variable}${suffix}`];
      if (own !== undefined && /TOKEN|WORKSPACE/.test(variable) && !isHeaderText(own))
        throw noHeader(variable + suffix);
      return own ?? env[variable];
    };
    return withCredentials(name, address, read);
  });
}

function noHeader(parameter: string) {
  const constraint = 'must have only characters that an HTTP header can hold (no line breaks, Latin-1)';
  return invalid(`${parameter} ${constraint}`, { parameter, constraint });
}

/** `name=url` pairs; null if the text is a single URL. */
function listOf(text: string): { name: string; address: string }[] | null {
  if (!/^\s*[A-Za-z][\w-]*=/.test(text)) return null;
  const entries = text.split(',').map((part) => {
    const [, name = '', address = ''] = /^\s*([^=\s]*)=(\S+)\s*$/.exec(part) ?? [];
    if (!/^[a-z][a-z0-9-]{0,30}$/.test(name) || name === 'sample' || address === '')
      throw broken(
        'must be an address, or a list of name=address; names have at most 31 lower-case letters, digits and -, and must not be "sample"',
      );
    return { name, address };
  });
  if (new Set(entries.map((entry) => entry.name)).size < entries.length)
    throw broken('must have unique registry names');
  return entries;
}

const broken = (constraint: string) =>
  invalid(`MLFLOW_TRACKING_URI ${constraint}`, { parameter: 'MLFLOW_TRACKING_URI', constraint });

function withCredentials(
  name: string,
  address: string | undefined,
  read: (variable: string) => string | undefined,
): RegistrySetting {
  const split: { uri: string | undefined; user?: string; password?: string } =
    address === undefined ? { uri: undefined } : splitCredentials(address);
  return {
    name,
    uri: split.uri,
    user: split.user ?? read('MLFLOW_TRACKING_USERNAME'),
    password: split.password ?? read('MLFLOW_TRACKING_PASSWORD'),
    token: read('MLFLOW_TRACKING_TOKEN'),
    workspace: read('MLFLOW_WORKSPACE'),
  };
}

/**
 * Removes user and password from an http(s) URL, where MLflow allows them, and drops the query, which may hold a token.
 * In a malformed URL everything up to the last `@` counts as credentials, so that none is ever shown; opening the URL
 * reports the error.
 */
export function splitCredentials(uri: string): { uri: string; user?: string; password?: string } {
  if (!/^https?:/i.test(uri)) return { uri };
  const scheme = /^https?:\/*/i.exec(uri)?.[0] ?? '';
  if (!URL.canParse(uri))
    return { uri: `${scheme}${uri.slice(scheme.length).replace(/^.*@/s, '').replace(/\?.*$/s, '')}` };
  const { username, password, origin, pathname } = new URL(uri);
  const plain = `${origin}${pathname.replace(/\/+$/, '')}`;
  return {
    uri: plain,
    ...(username ? { user: decoded(username) } : {}),
    ...(password ? { password: decoded(password) } : {}),
  };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
