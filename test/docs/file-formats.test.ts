import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { validateConfig } from '#services/acquisition/experiments/experiment-config.ts';
import { readScenario } from '#services/acquisition/load/scenario.ts';
import { columnNames, metricQueries, podSeries } from '#services/acquisition/prometheus/metric-queries.ts';
import { stateNames } from '#services/acquisition/prometheus/state-queries.ts';
import { readGateRules } from '#services/registry/promotion/gate-rules.ts';
import { temporaryDirectory } from '../support/tower.ts';

const page = readFileSync(resolve(import.meta.dirname, '../../docs/reference/file-formats.md'), 'utf8');

/** The example with this info string, as text and as a file. */
function example(kind: string): { text: string; file: string } {
  const [, text] = new RegExp(`^\`\`\`yaml ${kind}\n([\\s\\S]*?)^\`\`\``, 'm').exec(page)!;
  const file = join(temporaryDirectory(), 'example.yaml');
  writeFileSync(file, text!);
  return { text: text!, file };
}

describe('the examples of docs/reference/file-formats.md', () => {
  it('have a gate rule of each kind', async () => {
    const rules = await readGateRules(example('gate-rules').file);
    expect(rules).toHaveLength(11);
  });

  it('have a valid query file, and all names of queries', async () => {
    const queries = await metricQueries('plain', 'none', example('prometheus-queries').text, '');
    expect(queries.columns.request_rate.query).toContain('http_requests_total');
    for (const name of [...columnNames, ...podSeries, ...stateNames]) expect(page).toContain(`\`${name}\``);
  });

  it('have a valid experiment configuration and scenario', async () => {
    expect(validateConfig(parse(example('experiment-config').text))).toEqual([]);
    expect((await readScenario(example('scenario').text)).rounds).toHaveLength(2);
  });
});
