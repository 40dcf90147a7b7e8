import { z } from 'zod';

/** The drift answer: values measured after training, by day. */
export const DriftQuery = z.strictObject({
  days: z.string().optional().describe('How far to look back, 1 to 3650 days; default 30'),
});

const day = z
  .object({ date: z.iso.datetime().describe('Start of the UTC day') })
  .catchall(z.union([z.number(), z.null(), z.string()]))
  .describe('The last value of each metric on that day; null where it was NaN or infinite');

export const ModelDrift = z
  .array(
    z
      .object({
        version: z.string(),
        stage: z.string(),
        metrics_over_time: z.array(day),
        aliases: z.array(z.string()),
        status: z
          .enum(['no_data', 'not_assessed'])
          .describe(
            'no_data: MLflow has no value measured after training in this time; not_assessed: it has, and they are shown without a verdict',
          ),
        reason: z.string(),
      })
      .meta({ id: 'VersionDrift' }),
  )
  .meta({
    examples: [
      [
        {
          version: '3',
          stage: 'Production',
          metrics_over_time: [
            { date: '2026-11-19T00:00:00.000Z', accuracy: 0.945, precision: 0.928, recall: 0.952, f1_score: 0.94 },
          ],
          aliases: ['champion'],
          status: 'not_assessed',
          reason: '4 values of 4 metrics were measured after training in the last 30 days',
        },
        {
          version: '2',
          stage: 'Archived',
          metrics_over_time: [],
          aliases: [],
          status: 'no_data',
          reason: 'MLflow has no metric of this version that was measured after training',
        },
      ],
    ],
  });
export type ModelDrift = z.infer<typeof ModelDrift>;
