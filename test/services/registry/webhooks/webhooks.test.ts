import { createHmac } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { fakeMlflow } from '../../../fakes/mlflow.ts';
import { smallRegistry } from '../../../fakes/small-registry.ts';
import { whenTestIsOver } from '../../../support/cleanup.ts';
import { receiver } from '../../../support/receiver.ts';
import { handClock, noSignal, settle } from '../../../support/sources.ts';
import { onPostgres, openRawSql } from '../../../support/stores.ts';
import { testTower } from '../../../support/tower.ts';

/** An instance with a small fake MLflow and one webhook, and the requests it received. */
async function hookedTower(request: object = {}, env: Record<string, string> = {}) {
  const registry = smallRegistry();
  const dna = registry.models.find((item) => item['name'] === 'DNA') ?? {};
  dna['aliases'] = [];
  const [fake, there] = [await fakeMlflow(registry), await receiver()];
  const clock = handClock();
  const tower = await testTower(
    { MLFLOW_TRACKING_URI: fake.url, OUTBOUND_ALLOWED_HOSTS: '127.0.0.1', ...env },
    { clock, random: () => 1 },
  );
  await tower.services.registry.refresh();
  const { webhooks } = tower.services.changes;
  const webhook = await webhooks.create({ url: there.url, ...request }, 'dana');
  const setAlias = async (alias: string, version: string) => {
    dna['aliases'] = [{ alias, version }];
    await clock.advance(60_000);
    await tower.services.registry.refresh();
  };
  const deliver = async (waitMs = 0) => {
    await clock.advance(waitMs);
    await tower.outbox.step(noSignal);
  };
  return { tower, clock, there, webhooks, webhook, setAlias, deliver };
}

describe('outgoing webhooks', () => {
  it('send an event, signed as in Standard Webhooks', async () => {
    const { there, webhook, setAlias, deliver } = await hookedTower({ events: ['model_version_alias'] });
    await setAlias('blue', '2');
    await deliver();
    expect(there.got).toHaveLength(1);
    const [{ headers, body } = { headers: {}, body: '' }] = there.got;
    expect(JSON.parse(body)).toMatchObject({
      type: 'model_version_alias.created',
      timestamp: '2026-11-20T00:01:00.000Z',
      data: { name: 'DNA', alias: 'blue', version: '2', before: null, after: '2' },
    });
    const key = Buffer.from(webhook.secret.replace('whsec_', ''), 'base64');
    const signed = `${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`;
    expect(headers['webhook-signature']).toBe(`v1,${createHmac('sha256', key).update(signed).digest('base64')}`);
    expect(headers['webhook-timestamp']).toBe(String(Date.UTC(2026, 10, 20, 0, 1) / 1000));
  });

  it('retry with backoff under the same id, and keep a log', async () => {
    const { there, webhooks, webhook, setAlias, deliver } = await hookedTower();
    there.answer = () => (there.got.length < 3 ? { status: 500 } : { status: 200 });
    await setAlias('blue', '2');
    await deliver();
    await deliver(3_000);
    expect(there.got).toHaveLength(1);
    await deliver(2_000);
    expect(there.got).toHaveLength(2);
    expect(await webhooks.deliveries(webhook.id, {})).toMatchObject([
      {
        state: 'due',
        attempts: 2,
        last_status: 500,
        last_error: 'the receiver answered 500',
        next_attempt_at: expect.anything(),
      },
    ]);
    await deliver(10_000);
    expect(new Set(there.got.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
    expect(await webhooks.deliveries(webhook.id, {})).toMatchObject([
      { state: 'delivered', attempts: 3, last_error: null },
    ]);
    await deliver(3_600_000);
    expect(there.got).toHaveLength(3);
  });

  it('wait as long as Retry-After says', async () => {
    const { there, setAlias, deliver } = await hookedTower();
    there.answer = () => ({ status: 429, headers: { 'retry-after': '120' } });
    await setAlias('blue', '2');
    await deliver();
    await deliver(119_000);
    expect(there.got).toHaveLength(1);
    await deliver(1_000);
    expect(there.got).toHaveLength(2);
  });

  it('fail after the maximum number of attempts, and can be retried', async () => {
    const { there, webhooks, webhook, setAlias, deliver } = await hookedTower({}, { WEBHOOK_MAX_ATTEMPTS: '2' });
    there.answer = () => ({ status: 0 });
    await setAlias('blue', '2');
    await deliver();
    await deliver(5_000);
    await deliver(3_600_000);
    const [dead] = await webhooks.deliveries(webhook.id, {});
    expect(dead).toMatchObject({ state: 'dead', attempts: 2, last_status: null, next_attempt_at: null });
    expect(dead?.last_error).toMatch(/^cannot reach 127\.0\.0\.1:\d+/);
    there.answer = () => ({ status: 200 });
    await webhooks.replay(webhook.id, String(dead?.id));
    await deliver();
    expect(await webhooks.deliveries(webhook.id, {})).toMatchObject([{ state: 'delivered' }]);
    expect(there.got.at(-1)?.headers['webhook-id']).toBe(there.got[0]?.headers['webhook-id']);
  });

  it('stop permanently after 410, and when the webhook is deleted', async () => {
    const { there, webhooks, webhook, setAlias, deliver } = await hookedTower();
    there.answer = () => ({ status: 410 });
    await setAlias('blue', '2');
    await deliver();
    expect(await webhooks.get(webhook.id)).toMatchObject({ state: 'gone' });
    await setAlias('green', '2');
    await deliver();
    expect(there.got).toHaveLength(1);
    await webhooks.remove(webhook.id);
    expect(await webhooks.list()).toEqual([]);
  });

  it('do not follow redirects', async () => {
    const { there, webhooks, webhook, setAlias, deliver } = await hookedTower();
    there.answer = () => ({ status: 302, headers: { location: 'http://127.0.0.1:1/' } });
    await setAlias('blue', '2');
    await deliver();
    expect(await webhooks.deliveries(webhook.id, {})).toMatchObject([
      { last_error: 'the receiver redirects (302); redirects are not followed' },
    ]);
  });

  it('send only matching events', async () => {
    const { there, setAlias, deliver } = await hookedTower({ events: ['model_version_alias.moved'], name: 'DNA' });
    await setAlias('blue', '2');
    await deliver();
    expect(there.got).toEqual([]);
    await setAlias('blue', '1');
    await deliver();
    expect(there.got).toHaveLength(1);
  });

  it('send a test message', async () => {
    const { there, webhooks, webhook, deliver } = await hookedTower();
    await webhooks.test(webhook.id);
    await deliver();
    expect(JSON.parse(there.got[0]?.body ?? '')).toMatchObject({
      type: 'webhook.test',
      data: { webhook_id: webhook.id },
    });
  });

  it('are delivered at once by a running instance', async () => {
    const { tower, there, setAlias } = await hookedTower();
    tower.startJobs();
    await setAlias('blue', '2');
    const deadline = Date.now() + 30_000;
    while (there.got.length === 0 && Date.now() < deadline) await settle();
    expect(there.got).toHaveLength(1);
  });

  it('are not delayed by another receiver that hangs', async () => {
    const { tower, there, webhooks, setAlias } = await hookedTower();
    const hanging = createServer(() => undefined);
    await new Promise<void>((resolve) => hanging.listen(0, '127.0.0.1', resolve));
    whenTestIsOver(() => {
      hanging.closeAllConnections();
      hanging.close();
    });
    const { port } = hanging.address() as AddressInfo;
    const slow = await webhooks.create({ url: `http://127.0.0.1:${port}/` }, 'dana');
    for (let i = 0; i < 6; i += 1) await setAlias('blue', i % 2 ? '1' : '2');
    const over = new AbortController();
    const step = tower.outbox.step(over.signal);
    const deadline = Date.now() + 30_000;
    while (there.got.length < 6 && Date.now() < deadline) await settle();
    expect(there.got).toHaveLength(6);
    over.abort();
    await step;
    // Aborted: it is unknown whether requests in flight arrived.
    const log = await webhooks.deliveries(slow.id, {});
    expect(log.map((item) => item.state)).toEqual(Array.from({ length: 6 }, () => 'due'));
    expect(log.filter((item) => item.uncertain_attempts === 1)).toHaveLength(4);
  });

  it('succeed with any 2xx status', async () => {
    const { there, webhooks, webhook, setAlias, deliver } = await hookedTower();
    there.body = 'x'.repeat(200_000);
    await setAlias('blue', '2');
    await deliver();
    expect(await webhooks.deliveries(webhook.id, {})).toMatchObject([{ state: 'delivered', attempts: 1 }]);
  });

  it('are sent again and counted if the outcome could not be stored', async () => {
    const { tower, there, webhooks, webhook, setAlias, deliver } = await hookedTower();
    const edit = await openRawSql(join(tower.directory, 'data'));
    await setAlias('blue', '2');
    // Deliveries cannot be recorded.
    await edit(
      onPostgres
        ? "alter table outbox_deliveries add constraint full_disk check (state <> 'delivered')"
        : "create trigger full_disk before update on outbox_deliveries when new.state = 'delivered' begin select raise(abort, 'full_disk'); end",
    );
    await expect(deliver()).rejects.toThrow('full_disk');
    await edit(onPostgres ? 'alter table outbox_deliveries drop constraint full_disk' : 'drop trigger full_disk');
    await deliver();
    expect(there.got).toHaveLength(2);
    expect(await webhooks.deliveries(webhook.id, {})).toMatchObject([
      { state: 'delivered', attempts: 2, uncertain_attempts: 1 },
    ]);
  });

  it('never show secret or full address again', async () => {
    const { tower, webhooks, webhook } = await hookedTower({ description: 'deploys' });
    const shown = JSON.stringify([
      await webhooks.list(),
      await webhooks.get(webhook.id),
      await webhooks.deliveries(webhook.id, {}),
    ]);
    expect(shown).not.toContain('/hook');
    expect(shown + tower.logText()).not.toContain(webhook.secret);
  });
});
