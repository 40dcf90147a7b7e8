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
          'A fast, persistent mirror of an MLflow registry, drift detection, forecasts and right-sizing. Lists are served from memory; the headers `Age`, `x-cache-stale` and `x-data-source` state the age and the source of the data.',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      servers: [{ url: '/' }],
      tags: Object.values(tags).map((name) => ({ name })),
      components: {
        securitySchemes: {
          bearer: {
            type: 'http',
            scheme: 'bearer',
            description: 'An API key or a JSON Web Token. Scopes: metrics, record, read, operate, approve, admin',
          },
          apiKey: { type: 'apiKey', in: 'header', name: 'X-API-Key', description: 'An API key' },
        },
      },
    },
    transform: (route) => withDescriptions(jsonSchemaTransform(withAccess(route))),
    transformObject: (document) =>
      [withoutUnused, withJsonErrors, withOperationIds, withLists, withExamples, withPlainNames].reduce(
        (changed, change) => change(changed),
        jsonSchemaTransformObject(document) as Document,
      ) as never,
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

type Content = Record<string, { schema?: { $ref?: string }; example?: unknown }>;
type Responses = Record<string, { content?: Content }>;
type Schema = { type?: string; anyOf?: Schema[] };
type Operation = {
  operationId?: string;
  parameters?: { schema?: Schema }[];
  responses?: Responses;
  requestBody?: { content?: Content };
};
type Document = { paths?: unknown; components?: { schemas?: Record<string, unknown> } };

const operationsOf = ({ paths }: Document): [path: string, method: string, operation: Operation][] =>
  Object.entries((paths ?? {}) as Record<string, Record<string, Operation>>).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]): [string, string, Operation] => [path, method, operation]),
  );

/** Errors are JSON, independent of the content type of a success. */
function withJsonErrors<T extends Document>(document: T): T {
  for (const [, , { responses }] of operationsOf(document))
    for (const [status, response] of Object.entries(responses ?? {})) {
      const [content] = Object.values(response.content ?? {});
      if (Number(status) >= 400 && content) response.content = { 'application/json': content };
    }
  return document;
}

/**
 * Ids for generated clients: the method and the words of the path, `getModelVersions` for `GET /model/{name}/versions`.
 * A path that ends in a parameter ends in `By…`, so that a list and its items differ.
 */
function withOperationIds<T extends Document>(document: T): T {
  for (const [path, method, operation] of operationsOf(document)) operation.operationId ??= operationIdOf(method, path);
  return document;
}

export function operationIdOf(method: string, path: string): string {
  const parts = path.split('/').filter((part) => part !== '' && part !== 'api' && part !== 'v1');
  const words = parts.map((part, i) => {
    const parameter = /^\{(.+)\}$/.exec(part)?.[1];
    if (parameter === undefined) return pascalCase(part);
    return i === parts.length - 1 ? `By${pascalCase(parameter)}` : '';
  });
  return `${method}${words.join('') || 'Root'}`;
}

const pascalCase = (text: string): string =>
  text
    .split(/[^A-Za-z0-9]+/)
    .map((word) => word.charAt(0).toUpperCase() + word.slice(1))
    .join('');

/** Bodies of named schemas have the examples of these. */
function withExamples<T extends Document>(document: T): T {
  const schemas = (document.components?.schemas ?? {}) as Record<string, { examples?: unknown[] }>;
  for (const [, , { responses, requestBody }] of operationsOf(document))
    for (const content of [requestBody?.content, ...Object.values(responses ?? {}).map((each) => each.content)])
      for (const media of Object.values(content ?? {})) {
        const name = media.schema?.$ref?.split('/').at(-1);
        const example = name === undefined ? undefined : schemas[name]?.examples?.[0];
        if (media.example === undefined && example !== undefined) media.example = example;
      }
  return document;
}

/** Names for generated clients: a schema used in requests only loses its suffix `Input`. */
function withPlainNames<T extends Document>(document: T): T {
  const names = Object.keys(document.components?.schemas ?? {});
  const plain = names.flatMap((name) => {
    const short = name.replace(/Input$/, '');
    return short === name || names.includes(short) ? [] : [[name, short] as const];
  });
  let text = JSON.stringify(document);
  for (const [name, short] of plain)
    text = text.replaceAll(`/schemas/${name}"`, `/schemas/${short}"`).replace(`"${name}":{`, `"${short}":{`);
  return JSON.parse(text) as T;
}

/** A parameter that can be repeated, a text or a list of texts, is a list for generated clients. */
function withLists<T extends Document>(document: T): T {
  for (const [, , { parameters }] of operationsOf(document))
    for (const parameter of parameters ?? []) {
      const [one, many] = parameter.schema?.anyOf ?? [];
      if (one?.type === 'string' && many?.type === 'array') parameter.schema = many;
    }
  return document;
}

/** Removes named schemas without references, such as the request form of a schema used only in answers. */
function withoutUnused<T extends Document>(document: T): T {
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
