import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { addCommands } from '#cli/commands/all.ts';
import { addServeCommand } from '#cli/commands/serve.ts';
import type { CliContext } from '#cli/context.ts';
import { createProgram } from '#cli/main.ts';
import { webhookEventTypes } from '#services/registry/webhooks/webhook-schemas.ts';
import { testTower } from '../support/tower.ts';
import { cliPage, httpApiPage, metricsPage, type OpenApi, settingsPage } from './reference-pages.ts';

const directory = resolve(import.meta.dirname, '../../docs/reference');
const at = (name: string): string => join(directory, name);

describe('docs/reference (update with npm test -- test/docs -u)', () => {
  it('has every setting', async () => {
    await expect(settingsPage()).toMatchFileSnapshot(at('settings.md'));
  });

  it('has every command', async () => {
    const context = { env: {} } as CliContext;
    const program = createProgram({});
    addServeCommand(program, context, async () => undefined);
    addCommands(program, context);
    await expect(cliPage(program)).toMatchFileSnapshot(at('cli.md'));
  });

  it('has every metric', async () => {
    const { metrics } = await testTower();
    await expect(metricsPage(metrics)).toMatchFileSnapshot(at('metrics.md'));
  });

  it('has every operation', async () => {
    const { app } = await testTower();
    const document = (await app.inject('/openapi.json')).json<OpenApi>();
    await expect(httpApiPage(document)).toMatchFileSnapshot(at('http-api.md'));
  });

  it('has every type of event', () => {
    const types = [...readFileSync(at('events.md'), 'utf8').matchAll(/^\| `([a-z_]+\.[a-z_]+)` /gm)];
    expect(new Set(types.map(([, type]) => type))).toEqual(new Set([...webhookEventTypes, 'webhook.test']));
    expect(types).toHaveLength(webhookEventTypes.length + 1);
  });
});
