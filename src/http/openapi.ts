import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { FastifyInstance, FastifyReply, RouteOptions } from 'fastify';
import { pageHeaders } from './security-headers.ts';

/** OpenAPI 3.1 made from the routes' own schemas: /openapi.json, Swagger UI at /docs, ReDoc at /redoc, all served locally. */
export async function registerDocs(app: FastifyInstance, version: string): Promise<void> {
  const routes: RouteOptions[] = [];
  app.addHook('onRoute', (route) => void routes.push(route));
  let document: Promise<object> | null = null;
  const hidden = { schema: { hide: true } };
  app.get('/openapi.json', hidden, () => (document ??= describeRoutes(routes, version)));
  app.get('/docs', hidden, async (_request, reply) => sendPage(reply, swaggerPage));
  app.get('/docs/', hidden, async (_request, reply) => reply.redirect('/docs', 308));
  app.get('/docs/start.js', hidden, async (_request, reply) => reply.type(javascript).send(swaggerStart));
  app.get('/redoc', hidden, async (_request, reply) => sendPage(reply, redocPage));
  for (const [path, [type, find]] of Object.entries(assets)) {
    app.get(path, hidden, async (_request, reply) =>
      reply
        .type(type)
        .header('cache-control', 'public, max-age=86400')
        .send(await readFile(find())),
    );
  }
}

/** Loaded when somebody asks for it: it brings 150 modules, which would hold up every start. */
const describeRoutes = async (routes: RouteOptions[], version: string): Promise<object> =>
  (await import('./openapi-document.ts')).describeRoutes(routes, version);

const sendPage = (reply: FastifyReply, html: string): FastifyReply =>
  reply.headers(pageHeaders).type('text/html; charset=utf-8').send(html);

const javascript = 'text/javascript; charset=utf-8';
const { resolve } = createRequire(import.meta.url);
const swaggerFile = (name: string) => () => join(dirname(resolve('@fastify/swagger-ui')), 'static', name);

/** Files of the two pages, from their packages, read when asked for. */
const assets: Record<string, [type: string, find: () => string]> = {
  '/docs/swagger-ui.css': ['text/css; charset=utf-8', swaggerFile('swagger-ui.css')],
  '/docs/swagger-ui-bundle.js': [javascript, swaggerFile('swagger-ui-bundle.js')],
  '/docs/favicon.png': ['image/png', swaggerFile('favicon-32x32.png')],
  '/redoc/redoc.js': [javascript, () => resolve('redoc/bundles/redoc.standalone.js')],
};

const page = (head: string, body: string) => `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Control Tower API</title>
<link rel="icon" href="/docs/favicon.png">${head}</head>
<body style="margin:0">${body}</body>
</html>
`;
const swaggerPage = page(
  '<link rel="stylesheet" href="/docs/swagger-ui.css">',
  '<div id="ui"></div><script src="/docs/swagger-ui-bundle.js"></script><script src="/docs/start.js"></script>',
);
const swaggerStart = `SwaggerUIBundle({ url: '/openapi.json', dom_id: '#ui', deepLinking: true, tryItOutEnabled: true, displayRequestDuration: true });
`;
const redocPage = page(
  '',
  '<redoc spec-url="/openapi.json"></redoc><script type="module" src="/redoc/redoc.js"></script>',
);
