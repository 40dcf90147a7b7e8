import fastifyStatic from '@fastify/static';
import type { FastifyInstance, FastifyReply, RouteOptions } from 'fastify';
import { docsDirectory } from '#kernel/program-files.ts';
import { compressed } from './compression.ts';
import { pageHeaders } from './security-headers.ts';

/**
 * OpenAPI 3.1 from the routes' own schemas: /openapi.json, Swagger UI at /docs, ReDoc at /redoc, all served locally.
 */
export async function registerDocs(app: FastifyInstance, version: string): Promise<void> {
  const routes: RouteOptions[] = [];
  app.addHook('onRoute', (route) => void routes.push(route));
  let document: Promise<object> | null = null;
  const hidden = { schema: { hide: true }, config: { quota: 'static' } } as const;
  app.get('/openapi.json', { ...hidden, compress: compressed }, () => (document ??= describeRoutes(routes, version)));
  // The pages refer to their files by relative paths.
  const page = (path: string, html: string) =>
    app.get(path, hidden, async ({ url }, reply) =>
      /^[^?]*\/(\?|$)/.test(url) ? reply.redirect(path, 308) : sendPage(reply, html),
    );
  page('/docs', swaggerPage);
  app.get('/docs/start.js', hidden, async (_request, reply) => reply.type(javascript).send(swaggerStart));
  page('/redoc', redocPage);
  await app.register(async (files) => {
    files.addHook('onRoute', (route) => {
      route.config = { ...route.config, quota: 'static' };
    });
    await files.register(fastifyStatic, {
      root: docsDirectory,
      prefix: '/docs/',
      index: false,
      preCompressed: true,
      maxAge: '1d',
      // A build without the pages is served without them and without a warning.
      suppressWarning: true,
    });
  });
}

/** Loaded at the first request: its 150 modules would delay every start. */
const describeRoutes = async (routes: RouteOptions[], version: string): Promise<object> =>
  (await import('./openapi-document.ts')).describeRoutes(routes, version);

const sendPage = (reply: FastifyReply, html: string): FastifyReply =>
  reply.headers(pageHeaders).type('text/html; charset=utf-8').send(html);

const javascript = 'text/javascript; charset=utf-8';
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
  '<redoc spec-url="/openapi.json"></redoc><script type="module" src="/docs/redoc.js"></script>',
);
