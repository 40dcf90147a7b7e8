import { createServer, type ServerResponse } from 'node:http';

/** The lower limit: a list of open responses, and a loop that writes one frame to each. */
const open: ServerResponse[] = [];
let id = 0;
const server = createServer((request, response) => {
  if (request.url === '/stream') {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('retry: 3000\n\n');
    open.push(response);
    return;
  }
  if (request.url === '/publish') {
    id += 1;
    const data = JSON.stringify({
      id,
      type: 'model_version_alias.moved',
      name: 'DNA',
      version: '2',
      before: '1',
      after: '2',
    });
    for (const each of open) each.write(`id: ${id}\nevent: model_version_alias.moved\ndata: ${data}\n\n`);
  }
  response.end();
});
server.listen(Number(process.argv[2]), '127.0.0.1');
