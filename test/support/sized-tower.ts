import { expect } from 'vitest';
import type { WorkloadMetrics } from '#services/acquisition/schemas.ts';
import type { BacktestAnswer } from '#services/rightsizing/backtest/backtest-schemas.ts';
import type { BatchAnswer, SizeAnswer } from '#services/rightsizing/schemas.ts';
import { clusterSeries, prometheusOver, type Sampled } from './cluster-series.ts';
import { testTower } from './tower.ts';

/** An instance that right-sizes the services of a small cluster. */

/** Union of all answers. */
export type Body = BatchAnswer &
  BacktestAnswer &
  Omit<WorkloadMetrics, 'service'> & { detail?: string; series: { values: (number | null)[] }[] };

export const now = Date.UTC(2026, 10, 20, 12);
/** Scrape interval of the series. */
export const stepMs = 600_000;
export const series = clusterSeries(now, 4, stepMs);

/** Without the autoscaler, which manages replicas. */
export const withoutHpa = series.filter(({ name }) => !name.startsWith('kube_horizontal'));

/**
 * An instance whose Prometheus has these series; null: without Prometheus.
 * @param aheadMs - offset of the instance's clock to Prometheus'
 */
export async function towerOver(given: Sampled[] | null, env: Record<string, string> = {}, aheadMs = 0) {
  const clock = { now: () => now + aheadMs, sleep: async () => undefined };
  const url = given === null ? {} : { PROMETHEUS_URL: await prometheusOver(given, now) };
  const { app, logText } = await testTower({ PROMETHEUS_SCRAPE_SECONDS: '600', ...url, ...env }, { clock });
  const call = async (path: string, payload?: object) => {
    const answer = await app.inject({
      method: payload === undefined ? 'GET' : 'POST',
      url: path,
      ...(payload === undefined ? {} : { payload }),
    });
    return { status: answer.statusCode, body: answer.json<Body>() };
  };
  const recommend = async (service: string, payload: object = {}) => {
    const { status, body } = await call(`/api/v1/rightsizing/shop/${service}/recommendation`, payload);
    expect([status, body.detail]).toEqual([200, undefined]);
    return body as unknown as SizeAnswer;
  };
  const metricsPage = async () => (await app.inject('/metrics')).body;
  return { call, recommend, logText, metricsPage };
}
