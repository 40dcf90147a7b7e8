import { expect, it } from 'vitest';
import { testTower } from '../support/tower.ts';
import { endlessQuery } from './contract-analytics-cases.ts';

it('a disconnected client does not block others', { timeout: 30_000 }, async () => {
  const { app } = await testTower({ FORECAST_WORKERS: '1', FORECAST_TIMEOUT_SECONDS: '120' });
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  const asked = (payload: object, path = '', signal?: AbortSignal) =>
    fetch(`${url}/api/v1/forecast${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(payload),
      ...(signal ? { signal } : {}),
    });
  const values = Array.from({ length: 20_000 }, (_, i) => 100 + (i % 24) + Math.sin(i / 7));
  // Minutes of work for the only thread.
  const began = new Promise<void>((resolve) => {
    app.server.once('request', () => resolve());
  });
  const gone = new AbortController();
  const long = asked({ values, horizon: 200, windows: 20 }, '/backtest', gone.signal);
  await began;
  // Queued after it, so it has the thread by now or waits for it.
  const second = asked({ values: values.slice(0, 60), horizon: 2, members: ['persistence'] });
  gone.abort();
  await expect(long).rejects.toThrow('abort');
  expect((await second).status).toBe(200);
});

it('a query of metric points ends when its client disconnects', { timeout: 30_000 }, async () => {
  const { app } = await testTower({ METRICS_QUERY_THREADS: '1', METRICS_QUERY_TIMEOUT_SECONDS: '120' });
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  const began = new Promise<void>((resolve) => {
    app.server.once('request', () => resolve());
  });
  const gone = new AbortController();
  const body = new URLSearchParams(endlessQuery);
  const long = fetch(`${url}/prometheus/api/v1/query_range`, { method: 'POST', body, signal: gone.signal });
  await began;
  const second = fetch(`${url}/prometheus/api/v1/query?query=1`);
  gone.abort();
  await expect(long).rejects.toThrow('abort');
  expect((await second).status).toBe(200);
});
