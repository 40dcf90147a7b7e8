/** MLflow's stages, spelt as MLflow spells them. */
export const stages = ['None', 'Staging', 'Production', 'Archived'] as const;
export type Stage = (typeof stages)[number];

/** Where the effective stage comes from; `none` = neither stage nor alias says anything. */
export const stageSources = ['stage', 'alias', 'none'] as const;
export type StageSource = (typeof stageSources)[number];

/** Lower-case aliases that stand for a stage where no stage is set. */
export type AliasTable = Record<Exclude<Stage, 'None'>, string[]>;

/** MLflow takes stages in any case and stores them capitalised; old stores may hold anything. */
export function stageOf(text: string): Stage {
  return stages.find((stage) => stage.toLowerCase() === text.toLowerCase()) ?? 'None';
}

/**
 * The stage a version really has: its own stage if one is set, else what its aliases mean.
 * An alias counts when it is in the table (any case), else when it is a production alias of one place,
 * such as `prod-eu`. Where several aliases disagree, Production wins over Staging over Archived.
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
