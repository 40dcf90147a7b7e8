import { invalid } from '#kernel/errors.ts';

/** One registry to mirror, and how to get in. `uri` undefined = none is configured. */
export type RegistrySetting = {
  /** Its name in the store, in addresses and in answers where there are several. */
  name: string;
  uri: string | undefined;
  user: string | undefined;
  password: string | undefined;
  token: string | undefined;
  workspace: string | undefined;
};

/** The name a single registry goes by. */
export const onlyRegistry = 'default';

type Env = Record<string, string | undefined>;

/**
 * The registries that MLFLOW_TRACKING_URI names: an address, or a list `name=address,name=address`. User name, password,
 * token and workspace of one of several come from its address or from variables that end with its name
 * (`MLFLOW_TRACKING_TOKEN_PROD`), else from the common ones.
 * @throws TowerError `invalid` for a list that breaks a rule
 */
export function registriesOf(uri: string | undefined, env: Env): RegistrySetting[] {
  const entries = uri === undefined ? null : listOf(uri);
  if (!entries) return [withCredentials(onlyRegistry, uri, (variable) => env[variable])];
  return entries.map(({ name, address }) => {
    const suffix = `_${name.toUpperCase().replaceAll('-', '_')}`;
    return withCredentials(name, address, (variable) => env[`${variable}${suffix}`] ?? env[variable]);
  });
}

/** `name=address` pairs; null for what is a single address. */
function listOf(text: string): { name: string; address: string }[] | null {
  if (!/^\s*[A-Za-z][\w-]*=/.test(text)) return null;
  const entries = text.split(',').map((part) => {
    const [, name = '', address = ''] = /^\s*([^=\s]*)=(\S+)\s*$/.exec(part) ?? [];
    if (!/^[a-z][a-z0-9-]{0,30}$/.test(name) || name === 'sample' || address === '')
      throw broken(
        'must be an address, or a list of name=address; a name has lower-case letters, digits and -, 31 at most, and is not "sample"',
      );
    return { name, address };
  });
  if (new Set(entries.map((entry) => entry.name)).size < entries.length) throw broken('must not name a registry twice');
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
 * Takes user and password out of an http(s) address, as MLflow allows them there; what follows a `?` is dropped,
 * because it may hold a token. Of an address that is no URL, everything up to the last `@` is taken for credentials,
 * so that nothing of them is ever shown; it is refused when it is opened.
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
