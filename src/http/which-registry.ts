import type { IncomingMessage } from 'node:http';
import type { FastifyInstance } from 'fastify';
import { invalid, type TowerError } from '../kernel/errors.ts';

/** What several registries need to know of an address: who has what. */
type Owners = {
  names: string[];
  ownersOfModel(name: string): string[];
  ownersOfExperiment(experimentId: string): string[];
  /** Those of which nothing is known yet. */
  missing(): string[];
};

/** Paths that are about all registries, or about none. */
const common =
  /^\/($|health|healthz|readyz|metrics|config|docs|redoc|openapi\.json|registries\/|api\/v1\/|models\/?($|production$|staging$|all$|events$|stream$)|experiments$)/;

/** Paths that are about one registry. */
const ofOne = /^\/(model|models|monitor|runs|cache|dashboard|debug|webhooks)(\/|$)/;

const problems = new WeakMap<IncomingMessage, TowerError>();

/**
 * With several registries each has its own copy of the API under `/registries/{name}`. An address without one is led
 * there: by `?registry=name`, else by the model or experiment it is about, where only one registry has it. What is left
 * is told that it must say which.
 */
export const leadToRegistry =
  (owners: Owners | null) =>
  (request: IncomingMessage): string => {
    const address = request.url ?? '/';
    if (!owners) return address;
    const [path = '', query = ''] = address.split('?', 2);
    const parameters = new URLSearchParams(query);
    const named = parameters.getAll('registry');
    if (path.startsWith('/registries/')) return address;
    if (named.length > 0) {
      const [name = ''] = named;
      if (named.length > 1 || !owners.names.includes(name))
        return refuse(request, address, `must be one of ${owners.names.join(', ')}`);
      parameters.delete('registry');
      const rest = parameters.size > 0 ? `?${parameters}` : '';
      return `/registries/${name}${path}${rest}`;
    }
    if (common.test(path) || !ofOne.test(path)) return address;
    const found = ownersOf(owners, path);
    const [only] = found ?? [];
    const unread = found ? owners.missing() : [];
    if (found && found.length <= 1 && unread.length === 0) return `/registries/${only ?? owners.names[0]}${address}`;
    const several = found && found.length > 1 ? `: ${found.join(' and ')} have one of this name` : '';
    const unknown =
      several === '' && unread.length > 0 ? `: ${unread.join(' and ')} was not read yet and may have one too` : '';
    return refuse(
      request,
      address,
      `must be named, as ?registry= and one of ${owners.names.join(', ')}${several}${unknown}`,
    );
  };

/** Registries that have what the path is about; null where it is about no model and no experiment. */
function ownersOf(owners: Owners, path: string): string[] | null {
  const [, model] =
    /^\/model\/([^/]+)\//.exec(path) ??
    /^\/models\/([^/]+)\/[^/]+\/monitor/.exec(path) ??
    /^\/monitor\/([^/]+)\//.exec(path) ??
    [];
  if (model !== undefined) return owners.ownersOfModel(decoded(model));
  const [, experiment] = /^\/runs\/([^/]+)$/.exec(path) ?? [];
  return experiment === undefined ? null : owners.ownersOfExperiment(decoded(experiment));
}

function refuse(request: IncomingMessage, address: string, constraint: string): string {
  problems.set(request, invalid(`registry ${constraint}`, { parameter: 'registry', constraint }));
  return address;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Tells those who must say which registry they mean. */
export function refuseUnclear(app: FastifyInstance): void {
  app.addHook('onRequest', (request, _reply, done) => done(problems.get(request.raw)));
}
