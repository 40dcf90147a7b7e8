import { z } from 'zod';
import { integerText } from '#kernel/query-schemas.ts';

/** JSON of load experiments and their quality. */

const share = z.number().min(0).max(1);
const grade = z.enum(['high', 'medium', 'low']);
const service = z.string().optional().describe('Only experiments of this service');
const stepSeconds = integerText(1).optional().describe('Time between two rows; default: the file’s, else 30');

export const ExperimentsQuery = z.strictObject({ service, step_seconds: stepSeconds });
export type ExperimentsQuery = z.infer<typeof ExperimentsQuery>;

export const ExperimentParams = z.object({
  experiment_id: z.string().meta({ example: 'frontend_browsing_replicas_1_users_10' }),
});

const Check = z.object({
  name: z.string(),
  passed: z.boolean(),
  grade: grade.describe('Grade of the experiment if the check fails'),
  detail: z.string(),
});

const ExperimentInfo = z.object({
  experiment_id: z.string(),
  service: z.string(),
  scenario: z.string(),
  replica_count: z.number(),
  load_users: z.number(),
  rows: z.number(),
  collection_start: z.string().nullable(),
  load_success_rate: share.nullable(),
  quality: grade,
  failed_checks: z.array(z.string()),
});

export const ExperimentList = z
  .object({
    experiments: z.array(ExperimentInfo),
    total_experiments: z.number(),
    data_quality: z.object({ high_quality: z.number(), medium_quality: z.number(), low_quality: z.number() }),
    failed_checks: z.record(z.string(), z.number()).describe('Number of experiments that failed each check'),
    unreadable: z.array(z.object({ experiment_id: z.string(), error: z.string() })),
  })
  .meta({
    id: 'AcquisitionExperimentList',
    examples: [
      {
        experiments: [],
        total_experiments: 0,
        data_quality: { high_quality: 0, medium_quality: 0, low_quality: 0 },
        failed_checks: {},
        unreadable: [],
      },
    ],
  });
export type ExperimentList = z.infer<typeof ExperimentList>;

export const ExperimentAnswer = ExperimentInfo.extend({
  duration_minutes: z.number().nullable(),
  checks: z.array(Check),
  cleaning: z.array(z.string()).describe('What was removed, including the ramp'),
  columns: z.record(z.string(), z.array(z.number().nullable())).describe('Cleaned values by row'),
}).meta({
  id: 'ExperimentAnswer',
  examples: [
    {
      experiment_id: 'frontend_browsing_replicas_1_users_10',
      service: 'frontend',
      scenario: 'browsing',
      replica_count: 1,
      load_users: 10,
      rows: 31,
      collection_start: '2025-10-26T12:57:43.445790',
      load_success_rate: 0,
      quality: 'low',
      failed_checks: ['load_success'],
      duration_minutes: 15,
      checks: [
        {
          name: 'load_success',
          passed: false,
          grade: 'low',
          detail: '0 of 40 requests succeeded, 0 %; at least 95 % required',
        },
      ],
      cleaning: ['removed the first 4 rows: ramp'],
      columns: { cpu_cores_value: [0.0007] },
    },
  ],
});
export type ExperimentAnswer = z.infer<typeof ExperimentAnswer>;

export const TrainingParams = z.object({ service: z.string().meta({ example: 'frontend' }) });

export const TrainingData = z
  .object({
    service: z.string(),
    experiments: z.int(),
    left_out: z.array(z.object({ experiment_id: z.string(), reason: z.string() })),
    rows: z.int(),
    context: z
      .object({
        experiment_id: z.array(z.string()),
        scenario: z.array(z.string()),
        replica_count: z.array(z.number()),
        load_users: z.array(z.number()),
      })
      .describe('By row'),
    columns: z
      .record(z.string(), z.array(z.number().nullable()))
      .describe('By row; without ramps and impossible values'),
  })
  .meta({
    id: 'TrainingData',
    examples: [
      {
        service: 'frontend',
        experiments: 1,
        left_out: [{ experiment_id: 'frontend_browsing_replicas_1_users_10', reason: '0 of 40 requests succeeded' }],
        rows: 1,
        context: {
          experiment_id: ['frontend_browsing_replicas_2_users_10'],
          scenario: ['browsing'],
          replica_count: [2],
          load_users: [10],
        },
        columns: { cpu_cores_value: [0.07], mem_bytes_value: [95_000_000] },
      },
    ],
  });
export type TrainingData = z.infer<typeof TrainingData>;

export const DeleteQuery = z.strictObject({
  service,
  confirm: z.literal('true', 'must be true: the files are deleted'),
});
export const ExperimentsDeleted = z
  .object({ deleted: z.number() })
  .meta({ id: 'ExperimentsDeleted', examples: [{ deleted: 36 }] });
