import { Validator } from '@seriousme/openapi-schema-validator';
import { describe, expect, it } from 'vitest';
import { testTower } from '../support/tower.ts';

type Schema = { type?: string; enum?: string[]; $ref?: string };
type Operation = {
  operationId: string;
  parameters?: { name: string; in: string; schema: Schema }[];
  requestBody?: { content: Record<string, { schema: Schema }> };
  responses: Record<string, { content?: Record<string, { schema: Schema }> }>;
};
type Document = { paths: Record<string, Record<string, Operation>> };

async function documentOf(): Promise<Document> {
  const { app } = await testTower();
  return (await app.inject('/openapi.json')).json<Document>();
}

const operationsOf = ({ paths }: Document): Operation[] => Object.values(paths).flatMap((path) => Object.values(path));

describe('the OpenAPI document for generated clients', () => {
  it('passes an OpenAPI validator', async () => {
    expect(await new Validator().validate(await documentOf())).toMatchObject({ valid: true });
  });

  it('has a unique operation id on every operation', async () => {
    const ids = operationsOf(await documentOf()).map(({ operationId }) => operationId);
    expect(ids.filter((id) => !/^(get|post|put|delete)[A-Z]\w+$/.test(id))).toEqual([]);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids).toContain('getModelVersions');
  });

  it('names the schema of every request body, and of every object in an answer', async () => {
    const inlined = operationsOf(await documentOf()).flatMap(({ operationId, requestBody, responses }) => {
      const bodies = [requestBody, ...Object.values(responses)].flatMap((each) => Object.values(each?.content ?? {}));
      return bodies.some(({ schema }) => schema.type === 'object') ? [operationId] : [];
    });
    // Settings and health are made of the areas; the others have examples of their own beside a named schema.
    expect(inlined.sort()).toEqual([
      'getAcquisitionSystem',
      'getConfig',
      'getForecastModelsModelJson',
      'getHealth',
      'getRegistryWebhooksByWebhookId',
      'getRoot',
      // Forms of Prometheus' API.
      'postPrometheusLabels',
      'postPrometheusQuery',
      'postPrometheusQueryRange',
      'postPrometheusSeries',
      'putModelBaselines',
    ]);
  });

  it('types numbers as numbers and choices as enums', async () => {
    const parameters = operationsOf(await documentOf()).flatMap((operation) => operation.parameters ?? []);
    const typesOf = (name: string) => [...new Set(parameters.filter((each) => each.name === name).map(kindOf))];
    for (const name of ['days', 'duration_minutes', 'step_seconds', 'time_window', 'periods_ahead', 'last_event_id'])
      expect([name, ...typesOf(name)]).toEqual([name, 'integer']);
    expect(typesOf('threshold_stddevs')).toEqual(['number']);
    for (const name of ['stage', 'by', 'granularity', 'group_by', 'method', 'scope', 'kind'])
      expect([name, ...typesOf(name)]).toEqual([name, 'enum']);
    expect(typesOf('tag')).toEqual(['array']);
  });
});

const kindOf = ({ schema }: { schema: Schema }): string | undefined => (schema.enum ? 'enum' : schema.type);
