import { createServer } from 'node:http';
import { manyRows } from '../../test/support/rows.ts';

/** The rival for memory: bare Node with the parsed JSON of the same registry. */
const [port, models] = process.argv.slice(2).map(Number);
const held = JSON.parse(JSON.stringify(manyRows(models ?? 0, 5))) as unknown;
globalThis.gc?.();
createServer((_request, response) => {
  response.end(JSON.stringify({ rss: process.memoryUsage.rss(), kind: typeof held }));
}).listen(port, '127.0.0.1');
