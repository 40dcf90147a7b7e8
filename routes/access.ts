import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { nextPage, sendStream } from '#http/replies.ts';
import { errors, tags } from '#http/route-schemas.ts';
import type { Access } from '#services/access/access.ts';
import {
  AuditList,
  AuditQuery,
  KeyCreated,
  KeyList,
  KeyRequest,
  KeyRevoked,
  WhoAmI,
} from '#services/access/schemas.ts';

const path = '/api/v1/access';
const admin = { access: 'admin' } as const;
const about = (summary: string) => ({ tags: [tags.access], summary });

/** API keys, the authenticated client, and the audit log. */
export async function accessRoutes(instance: FastifyInstance, { access }: { access: Access }): Promise<void> {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  app.get(
    `${path}/whoami`,
    {
      config: { access: 'read' },
      schema: { ...about('The caller’s identity and scopes'), response: { 200: WhoAmI, ...errors() } },
    },
    async ({ caller: { name, via, scopes } }) => ({ name, via, scopes: [...scopes] }),
  );
  app.get(
    `${path}/keys`,
    { config: admin, schema: { ...about('API keys'), response: { 200: KeyList, ...errors() } } },
    async () => access.keys.list(),
  );
  app.post(
    `${path}/keys`,
    {
      config: admin,
      schema: {
        ...about('Create an API key; the response contains it, once'),
        body: KeyRequest,
        response: { 201: KeyCreated, ...errors(400, 503) },
      },
    },
    async (request, reply) => {
      const made = await access.keys.create(request.body, request.caller.name);
      request.outcome = { id: made.id };
      return reply.code(201).send(made);
    },
  );
  app.delete(
    `${path}/keys/:key_id`,
    {
      config: admin,
      schema: {
        ...about('Revoke an API key'),
        params: z.object({
          key_id: z.string().regex(/^[0-9a-f]{12}$/, 'must be the id of a key: 12 hexadecimal digits'),
        }),
        response: { 200: KeyRevoked, ...errors(400, 404, 503) },
      },
    },
    async (request) => {
      await access.keys.revoke(request.params.key_id);
      return { message: 'The key is revoked' };
    },
  );
  auditRoutes(instance, access);
}

function auditRoutes(instance: FastifyInstance, access: Access): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  app.get(
    `${path}/audit`,
    {
      config: admin,
      schema: {
        ...about('Audit log of changes, newest first'),
        querystring: AuditQuery,
        response: { 200: AuditList, ...errors(400) },
      },
    },
    async (request, reply) => {
      const { records, total, nextPageToken } = await access.auditPage(request.query);
      nextPage(request, reply, total, nextPageToken);
      return records;
    },
  );
  app.get(
    `${path}/audit/export`,
    {
      config: admin,
      schema: {
        ...about('Export the audit log as JSON lines; `tower audit verify --file` verifies it'),
        produces: ['application/x-ndjson'],
        response: { 200: z.string().meta({ examples: ['{"seq":1}\n{"head":{"count":1}}\n'] }), ...errors() },
      },
    },
    async (_request, reply) => sendStream(reply, 'application/x-ndjson', access.audit.export()),
  );
}
