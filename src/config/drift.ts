import { z } from 'zod';
import { number } from './kinds.ts';

/** Settings of drift of monitored models. */
export const driftSettings = z.object({
  DRIFT_MIN_CHANGE_PCT: number(2, 0, 100, false).describe(
    'A metric that changed by less is never drift, in per cent of its baseline',
  ),
  DRIFT_MIN_CHANGE: number(0.01, 0, 1, false).describe('… unless it lies between -1 and 1 and changed by this much'),
  DRIFT_WARNING_P: number(0.05, 0.0001, 0.5, false).describe(
    'A change is worth a warning when chance alone makes one less often than this',
  ),
  DRIFT_P: number(0.02, 0.0001, 0.5, false).describe(
    '… and is drift when, adjusted for all that was looked at, it is below this',
  ),
  EVALUATION_MODEL_TAG: z.string().default('model_name').describe('Tag by which a run says which model it evaluates'),
  EVALUATION_VERSION_TAG: z
    .string()
    .default('model_version')
    .describe('Tag by which a run says which version it evaluates'),
  OBSERVATIONS_RETENTION_DAYS: number(400, 1, 36_500).describe('How long posted observations are kept'),
});
