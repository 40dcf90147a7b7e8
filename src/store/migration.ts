/** SQL statements from one schema version to the next, in each engine's dialect. */
export type Migration = { sqlite: string[]; postgres: string[] };
