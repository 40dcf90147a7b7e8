import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { temporaryDirectory } from '../support/tower.ts';
import { composeInstance } from './compose-instance.ts';

it('a gate that does not pass fails the request if the client wants it', async () => {
  const file = join(temporaryDirectory(), 'rules.json');
  writeFileSync(file, JSON.stringify([{ metric: 'accuracy', min: 0.93 }]));
  const { app } = await composeInstance({ GATE_RULES_FILE: file });
  const statuses: number[] = [];
  for (const version of ['1', '2'])
    for (const method of ['GET', 'POST'] as const)
      for (const query of ['', '?fail=false', '?fail=true']) {
        const response = await app.inject({ method, url: `/model/DNA/${version}/gate${query}` });
        statuses.push(response.statusCode);
        const result = { name: 'DNA', version, status: version === '1' ? 'pass' : 'fail' };
        expect(response.json()).toMatchObject(
          response.statusCode === 200 ? result : { error: { type: 'conflict', details: { gate: result } } },
        );
      }
  expect(statuses).toEqual([200, 200, 200, 200, 200, 200, 200, 200, 409, 200, 200, 409]);
});
