import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { brotliCompress, constants, gzip } from 'node:zlib';

const { resolve } = createRequire(import.meta.url);
const swaggerUi = join(dirname(resolve('@fastify/swagger-ui')), 'static');

/** Files of the API documentation pages, by their names in the build. */
const files: Record<string, string> = {
  'swagger-ui.css': join(swaggerUi, 'swagger-ui.css'),
  'swagger-ui-bundle.js': join(swaggerUi, 'swagger-ui-bundle.js'),
  'favicon.png': join(swaggerUi, 'favicon-32x32.png'),
  'redoc.js': resolve('redoc/bundles/redoc.standalone.js'),
};

/** Copies the files into a directory; text files also compressed, as @fastify/static serves them. */
export async function copyDocs(directory: string): Promise<void> {
  mkdirSync(directory, { recursive: true });
  for (const [name, from] of Object.entries(files)) {
    const bytes = readFileSync(from);
    writeFileSync(join(directory, name), bytes);
    if (name.endsWith('.png')) continue;
    writeFileSync(
      join(directory, `${name}.br`),
      await promisify(brotliCompress)(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 9 } }),
    );
    writeFileSync(join(directory, `${name}.gz`), await promisify(gzip)(bytes, { level: 9 }));
  }
}
