import { describe, expect, it } from 'vitest';
import { seededRandom } from '#kernel/rng.ts';
import { fakeMlflow } from '../fakes/mlflow.ts';
import { smallRegistry } from '../fakes/small-registry.ts';
import { receiver } from '../support/receiver.ts';
import { temporaryDirectory } from '../support/tower.ts';
import { servingTower } from '../support/tower-process.ts';

const rounds = process.env['SOAK'] ? 100 : 10;

type Event = { id: number; type: string; alias: string | null; before: string | null; after: string | null };
type Delivery = { webhook_message_id: string; state: string; uncertain_attempts: number };

describe('SIGKILL during a refresh', () => {
  it('neither loses nor duplicates an event, and delivers each at least once', { timeout: 300_000 }, async () => {
    const registry = smallRegistry();
    const dna = registry.models.find((item) => item['name'] === 'DNA') ?? {};
    const setAlias = (value: number) => {
      dna['aliases'] = [{ alias: 'count', version: String(value) }];
    };
    setAlias(0);
    const [fake, there] = [await fakeMlflow(registry), await receiver()];
    const directory = temporaryDirectory();
    const env = {
      MLFLOW_TRACKING_URI: fake.url,
      OUTBOUND_ALLOWED_HOSTS: '127.0.0.1',
      RATE_LIMIT_PER_MINUTE: '100000',
      LOG_LEVEL: 'ERROR',
    };
    const random = seededRandom(7);
    const first = await servingTower(directory, env);
    const hooks = `${first.url}/api/v1/registry/webhooks`;
    const body = JSON.stringify({ url: there.url });
    const made = await fetch(hooks, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
    const { id } = (await made.json()) as { id: string };
    await fetch(`${first.url}/cache/refresh`, { method: 'POST' });
    await first.stop('SIGKILL');

    let alive = 0;
    for (let round = 1; round <= rounds; round += 1) {
      const tower = await servingTower(directory, env);
      setAlias(round);
      const refreshed = fetch(`${tower.url}/cache/refresh`, { method: 'POST' }).then(
        () => {
          alive += 1;
        },
        () => undefined,
      );
      // Up to twice the usual duration of a refresh with its deliveries.
      await new Promise((resolve) => setTimeout(resolve, random() * 200));
      await tower.stop('SIGKILL');
      await refreshed;
    }
    expect(alive, 'some refreshes were over before the end, some were not').toBeLessThan(rounds);

    const last = await servingTower(directory, env);
    await fetch(`${last.url}/cache/refresh`, { method: 'POST' });
    const ask = async <T>(path: string) => {
      const response = await fetch(`${last.url}${path}`);
      expect(response.status, await response.clone().text()).toBe(200);
      return (await response.json()) as T;
    };
    const deliveries = () => ask<Delivery[]>(`/api/v1/registry/webhooks/${id}/deliveries?limit=1000`);
    const deadline = Date.now() + 30_000;
    while ((await deliveries()).some((item) => item.state !== 'delivered') && Date.now() < deadline)
      await new Promise((resolve) => setTimeout(resolve, 50));

    const events = await ask<Event[]>('/models/events?order_by=id%20asc&limit=1000&type=model_version_alias');
    expect(events.length).toBeGreaterThan(0);
    expect(events[0]?.before).toBe('0');
    for (const [index, event] of events.slice(1).entries()) expect(event.before).toBe(events[index]?.after);
    expect(events.at(-1)?.after).toBe(String(rounds));

    const log = await deliveries();
    const received = there.got.map(({ headers }) => String(headers['webhook-id']));
    expect(new Set(received)).toEqual(new Set(events.map((event) => `event-${event.id}`)));
    const uncertain = log.reduce((sum, item) => sum + item.uncertain_attempts, 0);
    expect(received.length - new Set(received).size).toBeLessThanOrEqual(uncertain);
  });
});
