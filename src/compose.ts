import { accessArea } from '#areas/access.ts';
import { acquisitionArea } from '#areas/acquisition.ts';
import { analyticsArea } from '#areas/analytics.ts';
import type { Area, Frame } from '#areas/area.ts';
import { dashboardArea } from '#areas/dashboard.ts';
import { forecastArea, threadsOf } from '#areas/forecast.ts';
import { registryArea } from '#areas/registry.ts';
import { rightsizingArea } from '#areas/rightsizing.ts';
import type { Config, Secrets } from '#config/config.ts';
import { type Clock, systemClock } from '#kernel/clock.ts';
import { createReleaser, type Releaser } from '#kernel/lifecycle.ts';
import { createLog, type RootLog } from '#kernel/log.ts';
import { createMetrics } from '#kernel/metrics.ts';
import type { Random } from '#kernel/rng.ts';
import { openFrame, placeOf } from './frame.ts';
import { type JobRunner, startJobRunner } from './job-runner.ts';
import { createSystem } from './system.ts';

/** Dependencies that tests can override. */
export type Overrides = { clock?: Clock; random?: Random; log?: RootLog };

export type Tower = Awaited<ReturnType<typeof compose>>;

/**
 * THE composition root: opens the frame, then builds every area in dependency order. Nothing listens yet.
 * @throws TowerError `invalid` for files named in the settings that break a rule, `unavailable` for a store that cannot be
 *   opened
 */
export async function compose(config: Config, secrets: Secrets, version: string, overrides: Overrides = {}) {
  const log = overrides.log ?? createLog(config.LOG_LEVEL, config.LOG_FORMAT);
  const releaser = createReleaser(log);
  const parts = {
    config,
    secrets,
    version,
    clock: overrides.clock ?? systemClock,
    random: overrides.random ?? Math.random,
    log,
    metrics: createMetrics(version),
  };
  try {
    const frame = await openFrame(parts, releaser.defer);
    return assemble(frame, await composeAreas(frame), releaser);
  } catch (error) {
    await releaser.stop();
    throw error;
  }
}

/** One call per area; what an area needs of another one is passed here and nowhere else. */
async function composeAreas(frame: Frame) {
  const { config, secrets } = frame;
  const place = placeOf(config, secrets);
  const { access, recordJob, ...accessPart } = accessArea(frame);
  const registry = await registryArea(frame, { access, place });
  const dashboard = dashboardArea({ mount: registry.mount });
  const { forecast, training, ...forecastPart } = forecastArea(frame, { access });
  const analytics = await analyticsArea(frame, { forecaster: forecast, place });
  const acquisition = await acquisitionArea(frame, { access, models: training.models, audit: recordJob });
  const { history, cluster } = acquisition.acquisition;
  const rightsizing = rightsizingArea(frame, {
    access,
    history,
    cluster,
    forecaster: forecast,
    audit: recordJob,
    threads: threadsOf(config),
    countRequests: acquisition.countRequests,
  });
  return {
    areas: [accessPart, registry, dashboard, forecastPart, analytics, acquisition, rightsizing].map(({ area }) => area),
    services: {
      access,
      ...registry.registries[0]!,
      registries: registry.registries,
      webhooks: registry.webhooks,
      forecast,
      training,
      analytics: analytics.analytics,
      acquisition: acquisition.acquisition,
      rightsizing: rightsizing.rightsizing,
    },
  };
}

function assemble(frame: Frame, { areas, services }: Awaited<ReturnType<typeof composeAreas>>, releaser: Releaser) {
  const { queue, store, instance, defer } = frame;
  let runner: JobRunner | null = null;
  const cluster = () => ({
    instance,
    store: store.engine,
    ...clusterOf(runner, store),
  });
  const system = createSystem(frame, areas, { jobStates: () => runner?.states() ?? [], cluster });
  for (const area of areas) contribute(frame, area);
  watchStore(frame, cluster);
  // Stopped in the reverse order: running reads, jobs, then the dependencies of jobs.
  defer('queue', () => queue.stop());
  defer('background jobs', () => runner?.stop());
  defer('reads under way', () => {
    for (const area of areas) area.abort?.();
  });
  return {
    ...frame,
    areas,
    system,
    /** Services of the first registry, if there are several. */
    services: { ...services, system },
    /** Starts the background jobs, once the instance listens. */
    startJobs: (): void => {
      runner = startJobRunner(frame, areas);
      for (const area of areas) area.start?.();
    },
    stop: () => releaser.stop(),
  };
}

/** Leadership, and why the store is unavailable. */
function clusterOf(runner: JobRunner | null, store: Frame['store']) {
  const { store_error, ...leadership } = runner?.cluster() ?? { store_error: null, leads: false, leader: null };
  return { ...leadership, store_error: store_error ?? store.fault() };
}

function contribute({ outbox, metrics }: Frame, area: Area): void {
  for (const [kind, { send, maxAttempts }] of Object.entries(area.outboxSenders ?? {}))
    outbox.handle(kind, send, maxAttempts);
  for (const gauge of area.gauges ?? []) metrics.watch(gauge);
}

function watchStore({ metrics, outbox }: Frame, cluster: () => { leads: boolean; store_error: string | null }): void {
  const one = (name: string, help: string, read: () => number | Promise<number>) =>
    metrics.watch({ name, help, read: async () => [{ value: await read() }] });
  one('tower_leads', '1 if this instance is the leader', () => Number(cluster().leads));
  one('tower_store_up', '1 if the store is available', () => Number(cluster().store_error === null));
  one('tower_outbox_due', 'Pending deliveries', async () => (await outbox.counts()).due);
  one('tower_outbox_dead', 'Deliveries in state dead: all attempts failed', async () => (await outbox.counts()).dead);
}
