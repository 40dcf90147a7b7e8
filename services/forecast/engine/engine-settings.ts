import type { LstmSettings } from '../members/lstm.ts';
import type { ProphetSettings } from '../members/prophet.ts';
import type { FusionMode } from './fusion.ts';

/** What can be set about a forecast. Apart from the engine, which only threads load: it would slow the start. */

export type EngineSettings = {
  horizon: number;
  /** The share of coming values the interval is to hold. */
  level: number;
  fusion: FusionMode;
  /** How many earlier ends members are tried at. */
  origins: number;
  /** Members that take part; null = all. */
  members: string[] | null;
  prophet: Partial<ProphetSettings>;
  lstm: Partial<LstmSettings>;
  /** Steps at the beginning that nobody asked for: confidence is of the others. */
  skip: number;
  /** Fit members without weight as well, to see what they would have said. */
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
