import { isoTime } from '#kernel/clock.ts';
import type { RunTotal } from '#services/registry/mirror/run-count.ts';
import type { Snapshot } from '#services/registry/snapshot/snapshot.ts';
import type { DashboardSummary } from './schemas.ts';

/** Dependencies on other areas. */
export type DashboardSources = {
  registry: { current(): Promise<Snapshot>; runTotal(): RunTotal };
  monitoring: { count(): Promise<number> };
};

export type Dashboard = { summary(): Promise<DashboardSummary> };

/** The registry in a dozen figures. */
export function createDashboard({ registry, monitoring }: DashboardSources): Dashboard {
  return {
    summary: async () => {
      const [snapshot, monitored] = await Promise.all([registry.current(), monitoring.count()]);
      const runs = registry.runTotal();
      return {
        total_experiments: snapshot.experiments.length,
        active_experiments: snapshot.experiments.filter((item) => item.lifecycleStage === 'active').length,
        total_models: snapshot.versions.length,
        monitored_models: monitored,
        production_models: snapshot.byStage.Production.length,
        staging_models: snapshot.byStage.Staging.length,
        total_runs: runs.total,
        last_updated: new Date(snapshot.readAt).toISOString(),
        registered_models: snapshot.models.size,
        archived_models: snapshot.byStage.Archived.length,
        // A count made before the last read of the registry: runs may have been added or deleted since.
        total_runs_status: runs.countedAt !== null && runs.countedAt < snapshot.readAt ? 'outdated' : runs.status,
        total_runs_counted_at: isoTime(runs.countedAt),
      };
    },
  };
}
