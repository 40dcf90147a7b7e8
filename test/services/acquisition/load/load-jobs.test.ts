import { expect, it } from 'vitest';
import { type LoadJob, LoadJobRequest } from '#services/acquisition/load/job-schemas.ts';
import { fakeBoutique } from '../../../fakes/boutique.ts';
import { testTower } from '../../../support/tower.ts';

it('a load test job reports progress and its result', { timeout: 30_000 }, async () => {
  const shop = await fakeBoutique();
  const target = `http://127.0.0.1:${shop.port}`;
  const { services } = await testTower({ LOAD_TARGETS: `${target}/,http://elsewhere` });
  const { loadTests } = services.acquisition;
  const scenario = {
    name: 'visit',
    rounds: [{ name: 'visit', steps: [{ name: 'home', path: '/', expect_text: 'Hot Products' }] }],
    think_seconds: [0, 0],
  };
  const request = LoadJobRequest.parse({ target, scenario, arrivals_per_second: 50, duration_seconds: 2 });
  const { id } = await loadTests.start(request);
  const seen: LoadJob[] = [];
  for await (const frame of loadTests.events(id, new AbortController().signal))
    seen.push(JSON.parse(/^data: (.*)$/m.exec(frame)![1]!) as LoadJob);
  expect(seen.some(({ progress }) => (progress?.requests ?? 0) > 0)).toBe(true);
  const { status, result } = seen.at(-1)!;
  expect([status, result]).toMatchObject(['succeeded', { failed_requests: 0, low_quality: false, turned_away: 0 }]);
  expect(result!.total_requests).toBe(shop.seen['GET /']);
  expect(result!.total_requests).toBeGreaterThan(60);
});

it('a load test job can be cancelled', { timeout: 30_000 }, async () => {
  const shop = await fakeBoutique();
  const target = `http://127.0.0.1:${shop.port}`;
  const { services } = await testTower({ LOAD_TARGETS: target });
  const { loadTests } = services.acquisition;
  const { id } = await loadTests.start(
    LoadJobRequest.parse({ target, arrivals_per_second: 20, duration_seconds: 600 }),
  );
  const frames = loadTests.events(id, new AbortController().signal);
  for await (const frame of frames) if (frame.includes('"requests":')) break;
  expect(await loadTests.cancel(id)).toMatchObject({ status: 'cancelled', result: null });
  const before = shop.seen['GET /'];
  await loadTests.list();
  expect(shop.seen['GET /']).toBe(before);
});
