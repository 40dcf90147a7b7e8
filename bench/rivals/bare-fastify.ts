import { readFileSync } from 'node:fs';
import Fastify from 'fastify';

/** The rival: Fastify with one route that sends bytes from memory, without hooks. */
const [port, file, encoding] = process.argv.slice(2);
const app = Fastify();
const bytes = file === undefined ? null : readFileSync(file);
app.get('/', async (_request, reply) => {
  if (bytes === null) return {};
  if (encoding) reply.header('content-encoding', encoding);
  return reply.type('application/json; charset=utf-8').send(bytes);
});
await app.listen({ host: '127.0.0.1', port: Number(port) });
