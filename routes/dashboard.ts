import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { errors, tags } from '#http/route-schemas.ts';
import type { Dashboard } from '#services/dashboard/dashboard.ts';
import { DashboardSummary } from '#services/dashboard/schemas.ts';

/** The registry in a dozen figures. */
export async function dashboardRoutes(
  instance: FastifyInstance,
  { dashboard }: { dashboard: Dashboard },
): Promise<void> {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  app.get(
    '/dashboard/summary',
    {
      config: { mirrored: true, access: 'read' },
      schema: {
        tags: [tags.dashboard],
        summary: 'Counts for a dashboard',
        response: { 200: DashboardSummary, ...errors(503) },
      },
    },
    async () => dashboard.summary(),
  );
}
