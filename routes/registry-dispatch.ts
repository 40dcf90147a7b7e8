import type { IncomingMessage } from 'node:http';
import type { FastifyInstance, RouteOptions } from 'fastify';
import findMyWay, { type HTTPMethod } from 'find-my-way';
import { invalid, notFound, type TowerError } from '#kernel/errors.ts';

/** Path of requests that select no registry. It is a route, so that they are authenticated and rate-limited like others. */
const unclearPath = '/registries/-';

/** Finds the registries that have a model or an experiment. */
type Owners = {
  names: string[];
  ownersOfModel(name: string): string[];
  ownersOfExperiment(experimentId: string): string[];
  /** Registries that were never read. */
  missing(): string[];
};

/**
 * Several registries over HTTP: each has its own copy of the routes under `/registries/{name}`. A request without that
 * prefix is sent to the registry that `?registry=name` names, else to the only one that has the model or experiment in its
 * path. If that does not select exactly one registry, the request is refused.
 */
export function createRegistryDispatch(owners: Owners) {
  const router = findMyWay({ maxParamLength: 4096, ignoreTrailingSlash: true });
  const refusals = new WeakMap<IncomingMessage, TowerError>();
  const choices = owners.names.join(', ');
  const refuse = (request: IncomingMessage, constraint: string): null => {
    refusals.set(request, invalid(`registry ${constraint}`, { parameter: 'registry', constraint }));
    return null;
  };
  /** @returns the name of the registry; null: the request is refused */
  const choose = (request: IncomingMessage, params: Record<string, string | undefined>): string | null => {
    const { model_name: model, experiment_id: experiment } = params;
    const isNamed = model !== undefined || experiment !== undefined;
    if (!isNamed) return refuse(request, `must be set, as ?registry= and one of ${choices}`);
    const having = model === undefined ? owners.ownersOfExperiment(experiment!) : owners.ownersOfModel(model);
    const unread = owners.missing();
    // A model that no registry has is answered by the first one, with 404.
    if (having.length <= 1 && unread.length === 0) return having[0] ?? owners.names[0]!;
    const reason =
      having.length > 1
        ? `${having.join(' and ')} have a model of this name`
        : `${unread.join(' and ')} was not read yet and may have one too`;
    return refuse(request, `must be set, as ?registry= and one of ${choices}: ${reason}`);
  };
  return {
    /**
     * Adds a route, without the prefix, that each registry has a copy of.
     * @param isCombined - whether the same path also answers for all registries, if a request names none
     */
    add: ({ method, url }: Pick<RouteOptions, 'method' | 'url'>, isCombined: boolean): void => {
      for (const each of [method].flat() as HTTPMethod[])
        if (!router.hasRoute(each, url)) router.on(each, url, () => undefined, { isCombined });
    },
    /** For Fastify's option `rewriteUrl`. */
    rewriteUrl: (request: IncomingMessage): string => {
      const address = request.url ?? '/';
      const [path = '', query = ''] = address.split('?', 2);
      // A target in absolute form (`http://host/…`) is for proxies.
      const found = address.startsWith('/') ? router.find((request.method ?? 'GET') as HTTPMethod, path) : null;
      if (!found) return address;
      const parameters = new URLSearchParams(query);
      const [name, ...more] = parameters.getAll('registry');
      if (name === undefined) {
        if ((found.store as { isCombined: boolean }).isCombined) return address;
        const chosen = choose(request, found.params);
        return chosen === null ? unclearPath : `/registries/${chosen}${address}`;
      }
      if (more.length > 0 || !owners.names.includes(name)) {
        refuse(request, `must be one of ${choices}`);
        return unclearPath;
      }
      parameters.delete('registry');
      return `/registries/${name}${path}${parameters.size > 0 ? `?${parameters}` : ''}`;
    },
    /** Registers the route of requests that select no registry. */
    refuseUnclear: (app: FastifyInstance): void => unclearRoute(app, (request) => refusals.get(request)),
  };
}

/** Answers requests that name no registry, or a wrong one, with 400, once their client is authenticated. */
function unclearRoute(app: FastifyInstance, refusalOf: (request: IncomingMessage) => TowerError | undefined): void {
  app.route({
    method: ['GET', 'POST', 'PUT', 'DELETE'],
    url: unclearPath,
    config: { access: 'read', audited: false },
    schema: { hide: true },
    handler: async (request) => {
      throw refusalOf(request.raw) ?? notFound(`${unclearPath} not found`);
    },
  });
}
