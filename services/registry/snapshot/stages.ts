/** MLflow's stages, in MLflow's spelling. */
export const stages = ['None', 'Staging', 'Production', 'Archived'] as const;
export type Stage = (typeof stages)[number];

/** Source of the effective stage; `none` = neither stage nor alias. */
export const stageSources = ['stage', 'alias', 'none'] as const;
export type StageSource = (typeof stageSources)[number];

/** Lower-case aliases that imply a stage if no stage is set. */
export type AliasTable = Record<Exclude<Stage, 'None'>, string[]>;

/** MLflow accepts stages in any case and stores them capitalised; old stores may hold anything. */
export function stageOf(text: string): Stage {
  return stages.find((stage) => stage.toLowerCase() === text.toLowerCase()) ?? 'None';
}

/**
 * Effective stage of a version: its own stage if set, else the stage that its aliases imply. An alias implies a stage
 * if it is in the table (any case) or is a production alias with a suffix, such as `prod-eu`. If several aliases
 * disagree, Production wins over Staging over Archived.
 */
export function effectiveStage(
  current: Stage,
  aliases: string[],
  table: AliasTable,
): { stage: Stage; source: StageSource } {
  if (current !== 'None') return { stage: current, source: 'stage' };
  for (const stage of ['Production', 'Staging', 'Archived'] as const) {
    if (aliases.some((alias) => table[stage].includes(alias.toLowerCase()))) return { stage, source: 'alias' };
  }
  if (aliases.some((alias) => /^(prod|production)[-_./]/i.test(alias))) return { stage: 'Production', source: 'alias' };
  return { stage: 'None', source: 'none' };
}
