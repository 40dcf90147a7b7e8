/** Statements that bring a database from one version of the schema to the next, in the words of each engine. */
export type Migration = { sqlite: string[]; postgres: string[] };
