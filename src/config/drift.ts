import { z } from 'zod';
import { number } from './kinds.ts';

/** Settings of drift of monitored models. */
export const driftSettings = z.object({
  DRIFT_MIN_CHANGE_PCT: number(2, 0, 100, false).describe('Minimum change for drift, in per cent of the baseline'),
  DRIFT_MIN_CHANGE: number(0.01, 0, 1, false).describe('Minimum absolute change for drift of metrics between -1 and 1'),
  DRIFT_WARNING_P: number(0.05, 0.0001, 0.5, false).describe('A change is a warning if its p-value is below this'),
  DRIFT_P: number(0.02, 0.0001, 0.5, false).describe(
    'A change is drift if its p-value, adjusted for all tests of the version, is below this',
  ),
  EVALUATION_MODEL_TAG: z.string().default('model_name').describe('Run tag with the model that the run evaluates'),
  EVALUATION_VERSION_TAG: z
    .string()
    .default('model_version')
    .describe('Run tag with the version that the run evaluates'),
  OBSERVATIONS_RETENTION_DAYS: number(400, 1, 36_500).describe('Retention of posted observations'),
});
