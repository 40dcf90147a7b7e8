import swagger from '@fastify/swagger';
import Fastify, { type RouteOptions } from 'fastify';
import { jsonSchemaTransform, jsonSchemaTransformObject } from 'fastify-type-provider-zod';
import { errors, tags } from './route-schemas.ts';

/**
 * Builds the OpenAPI 3.1 document from the routes' own schemas, with an application that registers them all and serves
 * none.
 */
export async function describeRoutes(routes: RouteOptions[], version: string): Promise<object> {
  const app = Fastify({ exposeHeadRoutes: false });
  app.setValidatorCompiler(() => () => true).setSerializerCompiler(() => JSON.stringify);
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Control Tower API',
        version,
        description:
          'A fast, persistent mirror of an MLflow registry. Lists answer from memory; `Age`, `x-cache-stale` and `x-data-source` state how old the data of an answer is and where it comes from.',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      servers: [{ url: '/' }],
      tags: Object.values(tags).map((name) => ({ name })),
      components: {
        securitySchemes: {
          bearer: {
            type: 'http',
            scheme: 'bearer',
            description: 'An API key or a JSON Web Token. Scopes: read, operate, approve, admin',
          },
          apiKey: { type: 'apiKey', in: 'header', name: 'X-API-Key', description: 'An API key' },
        },
      },
    },
    transform: (route) => withDescriptions(jsonSchemaTransform(withAccess(route))),
    transformObject: (document) => withJsonErrors(withoutUnused(jsonSchemaTransformObject(document))),
  });
  for (const { method, url, schema, config } of routes)
    if (method !== 'HEAD')
      app.route({ method, url, schema: schema ?? {}, config: config ?? {}, handler: async () => undefined });
  await app.ready();
  return app.swagger();
}

type Route = Parameters<typeof jsonSchemaTransform>[0];

/** Permission of a route, and its 401 and 403 answers. */
function withAccess(route: Route): Route {
  const access = (route.route as { config?: { access?: string } }).config?.access ?? 'public';
  if (access === 'public' || access === 'signed' || !route.schema) return route;
  const { response } = route.schema as { response?: object };
  const schema = {
    ...route.schema,
    response: { ...response, ...errors(401, 403) },
    security: [{ bearer: [access] }, { apiKey: [access] }],
    'x-required-scope': access,
  };
  return { ...route, schema };
}

type Transformed = ReturnType<typeof jsonSchemaTransform>;

/** The description of a success is the operation's summary. */
function withDescriptions({ schema, url }: Transformed): Transformed {
  const { summary, response } = (schema ?? {}) as {
    summary?: string;
    response?: Record<string, { description?: string }>;
  };
  for (const answer of Object.values(response ?? {})) answer.description ??= summary ?? '';
  return { schema, url };
}

type Responses = Record<string, { content?: Record<string, unknown> }>;

/** Errors are JSON, independent of the content type of a success. */
function withJsonErrors<T extends { paths?: unknown }>(document: T): T {
  for (const operations of Object.values(
    (document.paths ?? {}) as Record<string, Record<string, { responses?: Responses }>>,
  )) {
    for (const { responses } of Object.values(operations)) {
      for (const [status, response] of Object.entries(responses ?? {})) {
        const [content] = Object.values(response.content ?? {});
        if (Number(status) >= 400 && content) response.content = { 'application/json': content };
      }
    }
  }
  return document;
}

/** Removes named schemas without references, such as the request form of a schema used only in answers. */
function withoutUnused<T extends { paths?: unknown; components?: { schemas?: Record<string, unknown> } }>(
  document: T,
): T {
  const schemas = Object.entries(document.components?.schemas ?? {});
  const used: typeof schemas = [];
  // Used schemas refer to others, which are used too.
  for (let text = JSON.stringify(document.paths); text !== ''; ) {
    const found = schemas.filter((item) => !used.includes(item) && text.includes(`/schemas/${item[0]}"`));
    used.push(...found);
    text = found.length > 0 ? JSON.stringify(found) : '';
  }
  used.sort(([one], [other]) => (one < other ? -1 : 1));
  return { ...document, components: { ...document.components, schemas: Object.fromEntries(used) } };
}
