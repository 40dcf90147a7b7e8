import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { ListAnswer, Provenance, Reading } from '#kernel/answers.ts';

const compress = promisify(gzip);
const compressed = new WeakMap<Buffer, Promise<Buffer>>();
const minBytesToCompress = 1400;

/**
 * Sends a list: plain or gzipped (compressed once per list, off the main thread), 304 if the client has the current
 * version, the total in `x-total-count` and the next page in `Link`.
 */
export async function sendList(
  request: FastifyRequest,
  reply: FastifyReply,
  answer: ListAnswer,
): Promise<FastifyReply> {
  const etag = `W/"${answer.tag}"`;
  const vary = reply.getHeader('vary');
  reply.headers({ etag, vary: vary ? `${String(vary)}, accept-encoding` : 'accept-encoding' });
  nextPage(request, reply, answer.total, answer.nextPageToken);
  if (hasTag(request.headers['if-none-match'], etag)) return reply.code(304).send();
  reply.type('application/json; charset=utf-8');
  if (answer.json.byteLength < minBytesToCompress || !takesGzip(request.headers['accept-encoding']))
    return reply.send(answer.json);
  return reply.header('content-encoding', 'gzip').send(await gzipOnce(answer.json));
}

/** Sends JSON in UTF-8. */
export const sendJson = (reply: FastifyReply, json: Uint8Array): FastifyReply =>
  reply.type('application/json; charset=utf-8').send(Buffer.from(json.buffer, json.byteOffset, json.byteLength));

/** Sets the total in `x-total-count`, and the next page in `Link` if there is one. */
export function nextPage(request: FastifyRequest, reply: FastifyReply, total: number, token: string | null): void {
  reply.header('x-total-count', String(total));
  if (token === null) return;
  const next = new URL(request.url, 'http://tower');
  next.searchParams.set('page_token', token);
  reply.header('link', `<${next.pathname}${next.search}>; rel="next"`).header('x-next-page-token', token);
}

/** Headers of an answer whose age differs from the mirror's. */
export function sendReading<T>(reply: FastifyReply, reading: Reading<T>): T {
  reply.header('age', String(Math.floor(reading.ageMs / 1000))).header('x-cache-stale', String(reading.stale));
  return reading.value;
}

/** Streams frames as they come, with back-pressure from slow clients. */
export const sendStream = (reply: FastifyReply, type: string, chunks: AsyncIterable<string>): FastifyReply =>
  reply
    .header('content-type', type)
    .header('cache-control', 'no-store')
    // Tells proxies not to buffer.
    .header('x-accel-buffering', 'no')
    .send(Readable.from(chunks, { highWaterMark: 1 }));

/** A signal that aborts when the answer is complete or the client disconnects. */
export function untilClosed(reply: FastifyReply): AbortSignal {
  const over = new AbortController();
  reply.raw.once('close', () => over.abort(new Error('client disconnected')));
  return over.signal;
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Answers of this route come from the mirror; their headers tell its age. */
    mirrored?: boolean;
  }
}

/** Freshness headers of an answer from the mirror; an answer that sets its own keeps them. */
export function setFreshnessHeaders(reply: FastifyReply, { ageMs, stale, origin }: Provenance): void {
  reply.header('x-data-source', origin);
  if (reply.hasHeader('age')) return;
  reply.header('age', String(Math.floor((ageMs ?? 0) / 1000))).header('x-cache-stale', String(stale));
}

function gzipOnce(bytes: Buffer): Promise<Buffer> {
  const known = compressed.get(bytes) ?? compress(bytes);
  compressed.set(bytes, known);
  return known;
}

const takesGzip = (accept: string | string[] | undefined): boolean =>
  String(accept ?? '')
    .split(',')
    .some((coding) => {
      const [name = '', weight = ''] = coding.split(';').map((part) => part.trim().toLowerCase());
      return (name === 'gzip' || name === '*') && !/^q=0(\.0*)?$/.test(weight);
    });

const hasTag = (header: string | undefined, etag: string): boolean =>
  header !== undefined &&
  (header.trim() === '*' || header.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag.slice(2)));
