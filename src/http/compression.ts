import { constants } from 'node:zlib';
import compress from '@fastify/compress';
import type { FastifyInstance } from 'fastify';

/** Compressing smaller answers costs more time than it saves. */
const minBytes = 1_400;

/**
 * Compresses answers of routes that opt in (`compress: compressed`), large ones off the event loop. Lists of the registry
 * use `sendList`, which compresses each list once; static files are compressed by the build.
 */
export async function registerCompression(app: FastifyInstance): Promise<void> {
  await app.register(compress, { global: false, globalDecompression: false });
}

/**
 * Route option: compress for clients that accept it. Brotli's default quality would take seconds for a few megabytes.
 */
export const compressed = {
  threshold: minBytes,
  encodings: ['br', 'gzip', 'identity'] as ('br' | 'gzip' | 'identity')[],
  brotliOptions: { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } },
  zlibOptions: { level: 6 },
};
