/** Strategies by name, apart from what they do: the start needs no more. */

/** The tower's own. */
export const own = 'tower';

/** Rules of others. */
export const ofOthers = [
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
