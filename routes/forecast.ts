import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { abortOnDisconnect } from '#http/client-disconnect.ts';
import { errors, tags } from '#http/route-schemas.ts';
import type { Forecast } from '#services/forecast/forecast.ts';
import { BacktestAnswer, BacktestRequest, ForecastAnswer, ForecastRequest } from '#services/forecast/schemas.ts';

/** A POST that only computes: not audited. */
const asking = { access: 'read', audited: false } as const;

/** Forecasts of posted series. */
export async function forecastRoutes(instance: FastifyInstance, { forecast }: { forecast: Forecast }): Promise<void> {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  app.post(
    '/api/v1/forecast',
    {
      config: asking,
      schema: {
        tags: [tags.forecast],
        summary: 'Forecast a series: fused forecast, prediction interval, forecasts of the members',
        body: ForecastRequest,
        response: { 200: ForecastAnswer, ...errors(400, 503) },
      },
    },
    async (request, reply) => forecast.forecast(request.body, abortOnDisconnect(reply)),
  );
  app.post(
    '/api/v1/forecast/backtest',
    {
      config: asking,
      schema: {
        tags: [tags.forecast],
        summary: 'Backtest forecasts of a series: rolling origins, scores and a plot',
        body: BacktestRequest,
        response: { 200: BacktestAnswer, ...errors(400, 503) },
      },
    },
    async (request, reply) => forecast.backtest(request.body, abortOnDisconnect(reply)),
  );
}
