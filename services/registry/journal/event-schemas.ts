import { z } from 'zod';
import { choiceText, integerText } from '#kernel/query-schemas.ts';
import { stages } from '../snapshot/stages.ts';
import { eventTypes } from './diff.ts';
import type { RegistryEvent } from './journal-events.ts';

/** JSON of events, of stage history, and of their queries. */

const one = z.string().max(512, 'must have at most 512 characters');

export const EventFilterQuery = z.strictObject({
  type: z
    .union([one, z.array(one).max(20, 'must not be repeated more than 20 times')])
    .optional()
    .describe('Event type, or a prefix such as model_version_alias; can be repeated'),
  name: one.optional().describe('Only events of this model'),
  version: one.optional().describe('Only events of this version'),
});
export type EventFilterQuery = z.infer<typeof EventFilterQuery>;

export const EventQuery = EventFilterQuery.extend({
  since: one.optional().describe('Observed at or after this date or time (ISO 8601)'),
  until: one.optional().describe('Observed before this date or time'),
  order_by: choiceText(['id desc', 'id asc']).optional().describe('id desc (newest first, the default) or id asc'),
  limit: integerText(1, 1000).optional().describe('Maximum number of events, 1 to 1000; default 100'),
  page_token: one.optional().describe('Page token: the value from the Link header or x-next-page-token'),
});
export type EventQuery = z.infer<typeof EventQuery>;

export const StreamQuery = EventFilterQuery.extend({
  last_event_id: integerText(0)
    .optional()
    .describe('Continue after this event, for clients that cannot send the header Last-Event-ID; 0 = all events'),
});
export type StreamQuery = z.infer<typeof StreamQuery>;

const json = z.unknown();
export const EventInfo = z
  .object({
    id: z.int().describe('Ascending, unique'),
    type: z.enum(eventTypes),
    registry: z.string().describe('default, if there is only one'),
    name: z.string().describe('Registered model; after a rename the new name'),
    version: z.string().nullable(),
    alias: z.string().nullable(),
    before: json.describe('Changed values before; null if created'),
    after: json.describe('Changed values after; null if deleted'),
    changed_at: z.iso.datetime().nullable().describe('Time of the change, if MLflow records it'),
    not_before: z.iso.datetime().describe('The previous poll, at which it had not happened yet'),
    observed_at: z.iso.datetime().describe('The poll that detected it'),
  })
  .meta({ id: 'RegistryEvent' });
export type EventInfo = z.infer<typeof EventInfo>;

const exampleEvent = {
  id: 412,
  type: 'model_version_alias.moved' as const,
  registry: 'default',
  name: 'churn-predictor',
  version: '4',
  alias: 'champion',
  before: '3',
  after: '4',
  changed_at: null,
  not_before: '2026-11-20T10:00:00.000Z',
  observed_at: '2026-11-20T10:30:00.000Z',
};

export const EventList = z.array(EventInfo).meta({ examples: [[exampleEvent]] });

export const eventInfo = (event: RegistryEvent): EventInfo => ({
  id: event.id,
  type: event.type,
  registry: event.registry,
  name: event.name,
  version: event.version,
  alias: event.alias,
  before: event.before,
  after: event.after,
  changed_at: event.changedAt,
  not_before: event.notBefore,
  observed_at: event.observedAt,
});

const time = z.iso.datetime();
export const HistoryQuery = z.strictObject({
  stage: choiceText(stages).optional().describe('Production by default'),
  at: one.optional().describe('Versions that had the stage at this time (ISO 8601)'),
});
export type HistoryQuery = z.infer<typeof HistoryQuery>;

const StagePeriod = z
  .object({
    version: z.string(),
    run_id: z.string().nullable(),
    stage_source: z.enum(['stage', 'alias', 'none']).describe('Why it has the stage'),
    from: time.nullable().describe('First seen in the stage; null = before recording began'),
    from_not_before: time.nullable().describe('It started after this time'),
    until: time.nullable().describe('Last seen in the stage; null = it still has it'),
    until_not_before: time.nullable().describe('It ended after this time'),
    ended_by: z.enum(['stage_changed', 'version_deleted']).nullable().describe('null while it lasts'),
    in_registry: z.boolean().nullable().describe('Whether MLflow still has this version; null if unknown'),
  })
  .meta({ id: 'StagePeriod' });
export type StagePeriod = z.infer<typeof StagePeriod>;

export const ModelHistory = z
  .object({
    name: z.string(),
    stage: z.enum(['None', 'Staging', 'Production', 'Archived']),
    recorded_since: time.nullable().describe('Start of the recording; null = not yet'),
    current: z.array(z.string()).describe('Versions that have the stage now'),
    at: z
      .object({ time, versions: z.array(z.string()).nullable(), uncertain: z.array(z.string()) })
      .nullable()
      .describe(
        'With ?at: versions that certainly had the stage then, and uncertain ones; null versions = before recording began',
      ),
    rollback_target: z.string().nullable().describe('The latest other version that had the stage and still exists'),
    rollback_reason: z.string(),
    turns: z.array(StagePeriod).describe('Newest first'),
  })
  .meta({
    id: 'ModelHistory',
    examples: [
      {
        name: 'churn-predictor',
        stage: 'Production',
        recorded_since: '2026-10-01T08:00:00.000Z',
        current: ['4'],
        at: null,
        rollback_target: '3',
        rollback_reason: 'version 3 was Production until 2026-11-20T10:30:00.000Z and still exists',
        turns: [
          {
            version: '4',
            run_id: '0d6c35d3a1f24f0fa0c1b8ea7b3c1e55',
            stage_source: 'alias',
            from: '2026-11-20T10:30:00.000Z',
            from_not_before: '2026-11-20T10:00:00.000Z',
            until: null,
            until_not_before: null,
            ended_by: null,
            in_registry: true,
          },
          {
            version: '3',
            run_id: '77aa35d3a1f24f0fa0c1b8ea7b3c1e12',
            stage_source: 'alias',
            from: null,
            from_not_before: null,
            until: '2026-11-20T10:30:00.000Z',
            until_not_before: '2026-11-20T10:00:00.000Z',
            ended_by: 'stage_changed',
            in_registry: true,
          },
        ],
      },
    ],
  });
export type ModelHistory = z.infer<typeof ModelHistory>;

export const MlflowDelivery = z
  .object({
    status: z
      .enum(['accepted', 'duplicate', 'ignored'])
      .describe('accepted: the model is read again now; duplicate: received before; ignored: not about a model'),
    event: z.string(),
    model_name: z.string().nullable(),
  })
  .meta({
    id: 'MlflowDelivery',
    examples: [{ status: 'accepted', event: 'model_version_alias.created', model_name: 'churn-predictor' }],
  });
export type MlflowDelivery = z.infer<typeof MlflowDelivery>;
