import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { clusteredEnv } from '../support/cluster-series.ts';
import { peerProgram } from '../support/mlflow-server.ts';
import { temporaryDirectory } from '../support/tower.ts';
import { servingTower } from '../support/tower-process.ts';

/** Property tests of the whole OpenAPI document by a tool without knowledge of the implementation. */
describe('schemathesis', () => {
  const program = peerProgram('schemathesis', 'schemathesis');

  it.skipIf(!program)('finds no 5xx and no undocumented answer', async () => {
    const directory = temporaryDirectory();
    const tower = await servingTower(directory, {
      RATE_LIMIT_PER_MINUTE: '10000000',
      MLFLOW_WEBHOOK_SECRET: 'shared',
      LOG_LEVEL: 'ERROR',
      ...(await clusteredEnv([], Date.now())),
    });
    const args = [
      'run',
      `${tower.url}/openapi.json`,
      '--checks',
      'not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance',
      '--max-examples',
      process.env['SOAK'] ? '60' : '20',
      '--seed',
      '20261121',
      '--generation-deterministic',
      '--request-timeout',
      '20',
      // An endless stream.
      '--exclude-path',
      '/models/stream',
      // Accepts Protocol Buffers only, which this tool cannot generate; unit tests send arbitrary bytes.
      '--exclude-path',
      '/prometheus/api/v1/write',
      '--suppress-health-check',
      'all',
      '--no-color',
    ];
    const child = spawn(program ?? '', args, { cwd: directory, stdio: ['ignore', 'pipe', 'pipe'] });
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => (text += chunk));
    child.stderr.on('data', (chunk: Buffer) => (text += chunk));
    const [code] = (await once(child, 'close')) as [number];
    expect(code, text.slice(0, 9000)).toBe(0);
    for (const phase of ['Coverage', 'Fuzzing', 'Stateful']) expect(text).toMatch(new RegExp(`✅ {2}${phase}`));
    await tower.stop();
  });
});
