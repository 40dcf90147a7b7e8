import type { LstmSettings } from '../members/lstm.ts';
import type { ProphetSettings } from '../members/prophet.ts';
import type { FusionMode } from './fusion.ts';

/** Settings of a forecast. Separate from the engine, which only worker threads load: it would slow down the start. */

export type EngineSettings = {
  horizon: number;
  /** Nominal coverage of the interval. */
  level: number;
  fusion: FusionMode;
  /** Number of earlier origins at which members are evaluated. */
  origins: number;
  /** Enabled members; null = all. */
  members: string[] | null;
  prophet: Partial<ProphetSettings>;
  lstm: Partial<LstmSettings>;
  /** Leading steps that were not requested: they are excluded from the confidence. */
  skip: number;
  /** Fits members with weight 0 too, to report their forecasts. */
  everyMember: boolean;
  /** Confidence is the probability of being within this share of the forecast. */
  tolerance: number;
};

export const engineDefaults: EngineSettings = {
  horizon: 24,
  level: 0.9,
  fusion: 'weighted',
  origins: 4,
  members: null,
  prophet: {},
  lstm: {},
  skip: 0,
  everyMember: false,
  tolerance: 0.2,
};
