import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { editDistance } from '#kernel/edit-distance.ts';
import { invalid } from '#kernel/errors.ts';

/**
 * Query parameters as clients send them. One that is nearly a known one is an error, since a misspelt filter would answer
 * with everything; others, such as cache busters, are ignored. What is ignored or changed is named in `x-warning`.
 * @param maxListed - maximum of `limit` where the schema states none
 */
export function registerLenientQueries(app: FastifyInstance, maxListed: number): void {
  app.addHook('preValidation', (request, reply, done) => {
    const schema = request.routeOptions.schema?.querystring;
    if (!(schema instanceof z.ZodObject) || !(schema.def.catchall instanceof z.ZodNever)) return done();
    done(refused(request, reply, schema.shape as Record<string, z.ZodType>, maxListed));
  });
}

/** Other names of parameters. */
const aliases: Record<string, string> = { start_time: 'start', end_time: 'end' };
const maxDistance = 2;
/** Ignored parameters that a warning names. */
const maxNamed = 5;

/** Adapts the query. @returns an error, if the query must be refused */
function refused(
  request: FastifyRequest,
  reply: FastifyReply,
  shape: Record<string, z.ZodType>,
  maxListed: number,
): ReturnType<typeof invalid> | undefined {
  const query = request.query as Record<string, unknown>;
  const ignored: string[] = [];
  for (const name of Object.keys(query)) {
    if (Object.hasOwn(shape, name)) continue;
    const alias = Object.hasOwn(aliases, name) ? aliases[name]! : null;
    if (alias !== null && Object.hasOwn(shape, alias)) {
      if (query[alias] !== undefined && query[alias] !== query[name])
        return problem(name, `is another name of ${alias}: set only one of them`);
      query[alias] = query[name];
    } else {
      const meant = nearest(name, Object.keys(shape));
      if (hasField(request.routeOptions.schema?.body, name)) return problem(name, 'is a field of the body');
      if (meant !== null) return problem(name, `is not a known query parameter; did you mean ${meant}?`);
      ignored.push(name);
    }
    delete query[name];
  }
  const warnings = ignored.length === 0 ? [] : [`ignored unknown query parameters: ${named(ignored)}`];
  const most = maximumOf(shape['limit'], maxListed);
  if (most !== null && /^\d{1,15}$/.test(String(query['limit'])) && Number(query['limit']) > most) {
    query['limit'] = String(most);
    warnings.push(`limit is at most ${most}`);
  }
  if (warnings.length > 0) reply.header('x-warning', warnings.join('; '));
  return undefined;
}

/** The known name in which a letter or two differ; of short names, not all of them. Null: none is near. */
function nearest(name: string, known: string[]): string | null {
  const near = known
    .map((each) => ({ each, distance: editDistance(name.toLowerCase(), each, maxDistance) }))
    .filter(({ each, distance }) => distance <= maxDistance && distance < Math.max(name.length, each.length))
    .sort((a, b) => a.distance - b.distance);
  return near[0]?.each ?? null;
}

/** Whether a body has this field: ignored in the query, it would be missed. */
function hasField(schema: unknown, name: string): boolean {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodNullable) return hasField(schema.unwrap(), name);
  return schema instanceof z.ZodObject && Object.hasOwn(schema.shape, name);
}

/** The maximum of a whole number, by its schema. */
function maximumOf(schema: z.ZodType | undefined, otherwise: number): number | null {
  const inner = schema instanceof z.ZodOptional ? (schema.unwrap() as z.ZodType) : schema;
  const { type, maximum = otherwise } = (inner && z.globalRegistry.get(inner)) ?? {};
  return type === 'integer' && typeof maximum === 'number' ? maximum : null;
}

const problem = (parameter: string, constraint: string) =>
  invalid(`${parameter} ${constraint}`, { parameter, constraint });

const named = (names: string[]): string =>
  `${names
    .slice(0, maxNamed)
    .map((name) => encodeURIComponent(name.slice(0, 40).toWellFormed()))
    .join(', ')}${names.length > maxNamed ? ', ...' : ''}`;
