import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import type { FastifyInstance } from 'fastify';
import { invalid, TowerError } from '#kernel/errors.ts';

/** Content types and encodings of request bodies: what a route does not read is refused (415), never taken for something else. */

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Content-Encoding that the route reads itself, besides none. */
    encoding?: 'gzip' | 'snappy';
  }
}

/** A content type or encoding that a route does not read; HTTP status 415. */
export class UnsupportedMedia extends TowerError {
  constructor(header: string, given: string, accepted: string) {
    const constraint = `must be ${accepted}`;
    super('invalid', `${header} ${constraint} (got ${JSON.stringify(given.slice(0, 100))})`, {
      details: { parameter: header, constraint },
    });
  }
}

/** Refuses encodings before a body is parsed. */
export function refuseEncodings(app: FastifyInstance): void {
  app.addHook('onRequest', (request, _reply, done) => {
    const given = (request.headers['content-encoding'] ?? '').trim().toLowerCase();
    const { encoding } = request.routeOptions.config;
    if (given === '' || given === 'identity' || given === encoding) return done();
    done(new UnsupportedMedia('content-encoding', given, encoding ? `${encoding} or identity` : 'identity'));
  });
}

/** Maximum size of a decompressed body. */
const maxBytes = 16 * 1024 * 1024;
const unzip = promisify(gunzip);

/** The text of a body that may be compressed with gzip. @throws TowerError `invalid` if it is not, or too large */
export async function textOf(body: Buffer, encoding: string | undefined): Promise<string> {
  const isGzip = encoding?.trim().toLowerCase() === 'gzip';
  const bytes = isGzip ? await unzip(body, { maxOutputLength: maxBytes }).catch(refuseBytes) : body;
  return bytes.toString();
}

function refuseBytes(error: NodeJS.ErrnoException): never {
  const isLarge = error.code === 'ERR_BUFFER_TOO_LARGE';
  throw invalid(
    isLarge ? `the decompressed body would exceed ${maxBytes} bytes` : 'the body is not compressed with gzip',
    {
      parameter: 'body',
    },
  );
}
