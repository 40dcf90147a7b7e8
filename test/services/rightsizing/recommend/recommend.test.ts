import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { clusterSeries, type Sampled, webCores } from '../../../support/cluster-series.ts';
import { now, series, stepMs, towerOver, withoutHpa } from '../../../support/sized-tower.ts';

describe('a recommendation from usage', () => {
  it.each(['kube-prometheus-stack', 'plain'])('sizes every container by its busiest pod (%s)', {
    timeout: 30_000,
  }, async (preset) => {
    const { recommend } = await towerOver(series, { PROMETHEUS_PRESET: preset });
    const answer = await recommend('web', { history_days: 4, compare: true, startup_seconds: 1500 });
    expect(answer).toMatchObject({ status: 'success', reason: null, horizon_seconds: 86_400, kind: 'Deployment' });
    expect(answer.containers.map(({ container, sidecar }) => [container, sidecar])).toEqual([
      ['istio-proxy', true],
      ['web', false],
    ]);
    const web = answer.containers[1]!;
    // The busiest of two pods at its daily peak: 0.3 cores plus noise; without the start-up of one, ten times that.
    const top = webCores(86_400_000 / 4, 1);
    expect(web.cpu.request).toBeGreaterThan(0.9 * top);
    expect(web.cpu.request).toBeLessThan(1.3 * top);
    expect(web.startup_peak_cores).toBeGreaterThan(0.5);
    expect(web.cpu).toMatchObject({ current_request: 0.5, bound_by: 'usage', pods: 3, unit: 'cores', limit: null });
    expect(web.memory.request).toBeGreaterThan(90e6);
    expect(web.memory.request).toBeLessThan(110e6);
    expect(web.memory.limit).toBe(web.memory.request);
    expect(web.cpu.compared.map(({ strategy }) => strategy)).toContain('krr_simple');
    expect(web.cpu.compared.find(({ strategy }) => strategy === 'vpa')!.request).toBeGreaterThan(0.3);
    expect(answer.confidence).toBeGreaterThan(0.3);
    expect(web.cpu.explanation).toMatch(
      /^95 % of the CPU samples of the next 24h .*the busiest of 3 pods, \d+ samples from 2026-11-16.*peak 0\.\d+$/,
    );
  });

  it("includes replicas, the autoscaler's target, and the saving", { timeout: 30_000 }, async () => {
    const { recommend } = await towerOver(series);
    const answer = await recommend('web', { history_days: 4 });
    const perPod = answer.containers.reduce((sum, { cpu }) => sum + cpu.request!, 0);
    expect(answer.replicas).toMatchObject({ current: 2, recommended: null, explanation: 'the autoscaler web decides' });
    // 60 % of 0.6 cores; the injected sidecar keeps its request of 0.1.
    const after = answer.containers[1]!.cpu.request! + 0.1;
    expect(answer.hpa!.recommended_target_utilization).toBeCloseTo(Math.min(0.9, 0.36 / after), 9);
    const alone = await (await towerOver(withoutHpa)).recommend('web', { history_days: 4 });
    expect(alone.replicas).toMatchObject({ current: 2, bound_by: 'usage' });
    expect(alone.replicas!.recommended).toBe(Math.ceil(alone.replicas!.demand_cores! / perPod));
    // The cost covers the current replicas: applying does not change their number.
    expect(alone.cost).toEqual(answer.cost);
    const { monthly_now, monthly_saving, cpu_core_hour, memory_gib_hour } = answer.cost;
    expect(monthly_now).toBeCloseTo(730 * 2 * (0.6 * cpu_core_hour + 0.375 * memory_gib_hour), 6);
    expect(monthly_saving).toBeGreaterThan(0);
    const patch = parse(answer.outputs!.kustomize) as {
      spec: { template: { spec: { containers: { name: string; resources: { requests: { cpu: string } } }[] } } };
    };
    expect(patch.spec.template.spec.containers.map(({ name }) => name)).toEqual(['web']);
    expect(answer.notes).toContain(
      'istio-proxy: injected sidecar, so not part of the outputs; set its resources where it is configured',
    );
    expect(parse(answer.outputs!.vpa)).toMatchObject({
      spec: {
        resourcePolicy: {
          containerPolicies: [
            { containerName: 'web', controlledValues: 'RequestsOnly' },
            { containerName: '*', mode: 'Off' },
          ],
        },
      },
    });
    expect(answer.outputs!.kubectl).toMatch(/^kubectl patch deployment web -n shop --type strategic -p '\{"spec"/);
  });

  it('leaves out stopped containers, with a note', { timeout: 30_000 }, async () => {
    const gone = series
      .filter(({ name, labels }) => name.startsWith('container_') && labels['container'] === 'istio-proxy')
      .map(
        ({ name, labels, samples }): Sampled => ({
          name,
          labels: { ...labels, container: 'old' },
          samples: samples.slice(0, 200),
        }),
      );
    const answer = await (await towerOver([...series, ...gone])).recommend('web', { history_days: 4 });
    expect(answer.containers.map(({ container }) => container)).toEqual(['istio-proxy', 'web']);
    expect(answer.notes).toContain('excluded containers that no longer run: old');
    expect(answer.cost.monthly_saving).toBeGreaterThan(0);
  });

  it('abstains with too little data, and says what is missing', { timeout: 30_000 }, async () => {
    const { recommend } = await towerOver(clusterSeries(now, 0.5, stepMs));
    expect(await recommend('web')).toMatchObject({
      status: 'abstained',
      confidence: null,
      outputs: null,
      reason: expect.stringMatching(/hours, 24 are required/) as string,
    });
    expect(await recommend('nobody')).toMatchObject({
      status: 'abstained',
      containers: [],
      reason: 'Prometheus has no container of the workload in the last 14 days',
    });
    const idle = await (await towerOver(series)).recommend('idle', { history_days: 4 });
    expect(idle.containers[0]!.cpu).toMatchObject({ request: 0.01, bound_by: 'floor' });
  });

  it('covers all Deployments of a namespace, and reports failures', { timeout: 30_000 }, async () => {
    const { call } = await towerOver(series);
    const { body } = await call('/api/v1/rightsizing/shop/recommendations', { history_days: 4 });
    expect(body.recommendations.map(({ service }) => service)).toEqual(['idle', 'web']);
    expect(body.cost.monthly_saving).toBeCloseTo(
      body.recommendations.reduce((sum, { cost }) => sum + cost.monthly_saving!, 0),
      9,
    );
    const named = await call('/api/v1/rightsizing/shop/recommendations', { services: ['web', 'NO!'] });
    expect(named.body.failures).toEqual([
      { service: 'NO!', error: expect.stringMatching(/^service must be a valid Kubernetes name/) as string },
    ]);
    expect((await call('/api/v1/rightsizing/empty/recommendations', {})).status).toBe(404);
  });

  it('selects one of several clusters', { timeout: 30_000 }, async () => {
    const two = ['eu1', 'us1'].flatMap((cluster) =>
      series.map(
        ({ name, labels, samples }): Sampled => ({
          name,
          labels: { ...labels, cluster },
          samples: cluster === 'us1' ? samples.map(([ms, value]) => [ms, 3 * value]) : samples,
        }),
      ),
    );
    const env = { PROMETHEUS_SELECTOR: 'cluster="eu1"' };
    const [one, ofTwo] = [await towerOver(series), await towerOver(two, env)];
    const asked = { history_days: 2, horizon: '24h' };
    expect((await ofTwo.recommend('web', asked)).containers).toEqual((await one.recommend('web', asked)).containers);
    await expect(towerOver(null, { PROMETHEUS_SELECTOR: 'up} or vector(1' })).rejects.toThrow(
      /^PROMETHEUS_SELECTOR must be like cluster="eu1"/,
    );
  });

  it('reports errors of Prometheus', async () => {
    const none = await towerOver(null);
    expect(await none.call('/api/v1/rightsizing/shop/web/recommendation', {})).toMatchObject({
      status: 503,
      body: { detail: 'Prometheus is not configured: set PROMETHEUS_URL' },
    });
    const down = await towerOver(null, {
      PROMETHEUS_URL: 'http://127.0.0.1:9',
      PROMETHEUS_TOKEN: 'hush-hush',
      PROMETHEUS_MAX_RETRIES: '0',
    });
    expect(await down.call('/api/v1/rightsizing/shop/web/recommendation', {})).toMatchObject({
      status: 503,
      body: { detail: 'cannot reach Prometheus (ECONNREFUSED)' },
    });
    expect(await down.metricsPage()).toMatch(
      /tower_prometheus_request_duration_seconds_count\{endpoint="query",status="0"\} \d/,
    );
    expect((await down.call('/api/v1/acquisition/prometheus')).body).toMatchObject({
      configured: true,
      reachable: false,
    });
    expect(down.logText()).not.toContain('hush-hush');
  });
});

describe('metrics of a workload', () => {
  it('are returned by column; missing columns are empty and listed', async () => {
    const { call } = await towerOver(series);
    const { body } = await call('/api/v1/acquisition/metrics/shop/web?duration_minutes=120&step_seconds=300');
    expect(body.steps).toBe(25);
    const { cpu_cores, mem_bytes, net_rx_bytes, request_rate, network_activity_rate, processing_intensity } =
      body.columns;
    expect(cpu_cores!.values.every((value) => value !== null && value > 0.3 && value < 0.9)).toBe(true);
    expect(mem_bytes!.values[3]).toBeGreaterThan(2 * 120e6 - 1);
    // Two pods that receive 1,000 bytes in ten minutes each.
    expect(net_rx_bytes!.values[5]).toBeCloseTo(2000 / 600, 6);
    expect(request_rate).toMatchObject({ known: 0, trouble: expect.stringMatching(/PROMETHEUS_MESH/) as string });
    expect(request_rate!.values.every((value) => value === null)).toBe(true);
    expect(network_activity_rate).toMatchObject({
      known: 0,
      formula: 'net_rx_bytes + net_tx_bytes',
      trouble: 'missing: net_tx_bytes',
    });
    expect(processing_intensity!.known).toBeLessThan(1);
    expect(processing_intensity!.values.at(-1)).toBeCloseTo(cpu_cores!.values.at(-1)! / 2, 9);
    expect(body.missing).toEqual(
      expect.arrayContaining(['net_tx_bytes', 'request_rate', 'network_activity_rate', 'node_cpu_util']),
    );
    expect(body.missing).not.toContain('cpu_cores');
  });

  it('can use custom queries', async () => {
    const { call } = await towerOver(series);
    const at = new Date(now).toISOString();
    const { body } = await call(
      `/api/v1/acquisition/range?query=${encodeURIComponent('sum(container_memory_working_set_bytes{container="idle"})')}&start=${at}&end=${at}&step_seconds=60`,
    );
    expect(body.series[0]!.values).toEqual([1e6]);
  });
});

describe('a backtest', () => {
  it("compares all strategies, on given usage or on Prometheus'", { timeout: 60_000 }, async () => {
    const { call } = await towerOver(series);
    const { status, body } = await call('/api/v1/rightsizing/shop/web/backtest', {
      history_days: 4,
      warm_up_days: 1,
      horizon: '24h',
    });
    expect(status).toBe(200);
    expect(body.summaries.map(({ strategy }) => strategy)).toEqual(
      expect.arrayContaining(['tower', 'vpa', 'krr_simple', 'oracle']),
    );
    expect(body.windows).toBe(3);
    expect(body.picture).toMatch(/^<svg /);
    const values = Array.from({ length: 24 * 12 }, (_, i) => (i === 40 ? null : 0.1 + 0.01 * (i % 3)));
    const given = await call('/api/v1/rightsizing/backtest', {
      values,
      step_seconds: 3600,
      strategies: ['tower', 'oracle'],
    });
    expect(given.body.summaries.map(({ strategy }) => strategy)).toEqual(['tower', 'oracle']);
    expect(given.body).toMatchObject({ samples: 287, windows: 5 });
    expect((await call('/api/v1/rightsizing/backtest', { values: [1, 2, 3] })).body.detail).toMatch(
      /^3 values of 300 s are too few/,
    );
    expect((await call('/api/v1/rightsizing/backtest', { values: [1, -2, 3] })).body.detail).toMatch(/^values\.1 must/);
  });
});
