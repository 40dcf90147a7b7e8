/** Names of strategies, separate from their code, which is not needed at start-up. */

/** This project's strategy. */
export const towerStrategy = 'tower';

/** Strategies of other right-sizers. */
export const thirdPartyStrategies = [
  'krr_simple',
  'krr_simple_limit',
  'vpa',
  'crane',
  'kruize_cost',
  'kruize_performance',
  'cast_ai',
  'autopilot',
  'max_7d',
] as const;
