import { z } from 'zod';
import { Scenario } from './scenario.ts';
import { generators } from './thread.ts';

/** HTTP schemas of load test jobs. */

const between = (least: number, most: number) => {
  const rule = `must be a number between ${least} and ${most}`;
  return z.number(rule).min(least, rule).max(most, rule);
};

const people = z.int('must be an integer').min(1, 'must be at least 1').max(100_000, 'must be at most 100000');

export const LoadJobRequest = z
  .strictObject({
    target: z.string('must be a string').describe('One of LOAD_TARGETS'),
    scenario: z
      .union([z.enum(['browsing', 'checkout']), Scenario], 'must be browsing, checkout or a scenario')
      .default('browsing'),
    generator: z
      .enum(generators, `must be ${generators.join(' or ')}`)
      .default('open model')
      .describe('jmeter: a closed model with a constant number of users; requires JMETER_HOME'),
    arrivals_per_second: between(0.01, 10_000)
      .optional()
      .describe('Rounds started per second, at random; required, but ignored by jmeter'),
    users: people
      .optional()
      .describe(
        'Number of returning users, each with its cookies; default: each returns every ten seconds. Required by jmeter',
      ),
    duration_seconds: between(1, 86_400).default(60),
    ramp_seconds: between(0, 3600).default(0).describe('Ramp-up and ramp-down, both within the duration'),
    most_users: people.default(1000),
  })
  .meta({
    id: 'LoadJobRequest',
    examples: [{ target: 'http://frontend.hipster-shop', arrivals_per_second: 5, duration_seconds: 60 }],
  });
export type LoadJobRequest = z.infer<typeof LoadJobRequest>;

const LoadProgress = z.object({
  elapsed_seconds: z.number(),
  requests: z.int(),
  failed: z.int(),
  users: z.int(),
});
const ms = z.number().describe('Milliseconds');
const LoadResult = z.object({
  total_requests: z.int(),
  successful_requests: z.int(),
  failed_requests: z.int(),
  success_rate: z.number(),
  avg_response_time: ms,
  min_response_time: ms,
  max_response_time: ms,
  p50_response_time: ms,
  p95_response_time: ms,
  p99_response_time: ms,
  throughput: z.number().describe('Requests per second'),
  start_time: z.string(),
  end_time: z.string(),
  duration_seconds: z.number(),
  low_quality: z.boolean().describe('Less than 95 % succeeded, or more than 5 % of the users were rejected'),
  requests: z.record(
    z.string(),
    z.object({
      total: z.int(),
      failed: z.int(),
      p95_response_time: ms,
      failures: z.record(z.string(), z.int()),
    }),
  ),
  transactions: z.int().optional().describe('JMeter’s transactions, which are not requests'),
  failed_transactions: z.int().optional().describe('Failed, without a row for any of their requests'),
  incomplete_last_row: z.boolean().optional().describe('JMeter’s last row was cut off, and left out'),
  users: z.int(),
  rounds: z.int().nullable().describe('Null if not counted (JMeter)'),
  turned_away: z.int().describe('Arrivals beyond most_users: the load was lower than configured'),
});

export const LoadJob = z
  .object({
    id: z.string(),
    target: z.string(),
    status: z.enum(['queued', 'running', 'succeeded', 'failed', 'cancelled']),
    attempts: z.int().describe('Number of starts: above 1 if an instance died while running it'),
    created_at: z.iso.datetime(),
    finished_at: z.iso.datetime().nullable(),
    progress: LoadProgress.nullable(),
    result: LoadResult.nullable(),
    error: z.string().nullable(),
  })
  .meta({
    id: 'LoadJob',
    examples: [
      {
        id: '3f0c2a56-5b0e-4b5f-9a53-0f8d7e0f4b11',
        target: 'http://frontend.hipster-shop',
        status: 'running',
        attempts: 1,
        created_at: '2026-11-20T10:00:00.000Z',
        finished_at: null,
        progress: { elapsed_seconds: 12.5, requests: 118, failed: 0, users: 9 },
        result: null,
        error: null,
      },
    ],
  });
export type LoadJob = z.infer<typeof LoadJob>;
