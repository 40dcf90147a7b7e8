import { constants } from 'node:zlib';
import compress from '@fastify/compress';
import type { FastifyInstance } from 'fastify';

/** Smaller answers cost more time than they save. */
const minBytes = 1_400;

/**
 * Compresses answers of routes that ask for it (`compress: compressed`), off the event loop. Lists over the registry have a
 * way of their own (`sendList`), which compresses each list once; files are compressed by the build.
 */
export async function registerCompression(app: FastifyInstance): Promise<void> {
  await app.register(compress, { global: false, globalDecompression: false });
}

/** Route option: compressed for clients that accept it. Brotli's usual quality would take seconds for some megabytes. */
export const compressed = {
  threshold: minBytes,
  encodings: ['br', 'gzip', 'identity'] as ('br' | 'gzip' | 'identity')[],
  brotliOptions: { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } },
  zlibOptions: { level: 6 },
};
