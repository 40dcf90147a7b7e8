import type { FastifyInstance } from 'fastify';
import { dashboardRoutes } from '#routes/dashboard.ts';
import { createDashboard, type DashboardSources } from '#services/dashboard/dashboard.ts';
import type { Area } from './area.ts';

type Needs<Parts> = {
  /** Registers routes once for each registry. */
  mount: (
    app: FastifyInstance,
    routes: (scope: FastifyInstance, parts: Parts & DashboardSources) => Promise<void>,
  ) => Promise<void>;
};

/** Counts for a dashboard, of each registry. */
export function dashboardArea<Parts>({ mount }: Needs<Parts>): { area: Area } {
  return {
    area: {
      name: 'dashboard',
      routes: (app) =>
        mount(app, async (scope, parts) => {
          await scope.register(dashboardRoutes, { dashboard: createDashboard(parts) });
        }),
    },
  };
}
