import type { TestProject } from 'vitest/node';
import { startPostgres } from './postgres-server.ts';

/** One PostgreSQL for all tests of the project `postgres`; each store is a database of its own. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  // Data need not survive the tests, so fsync is off.
  const server = await startPostgres(['fsync=off']);
  if (!server) throw new Error('PostgreSQL is missing; .ci/run installs it');
  project.provide('postgresUrl', server.url);
  return () => server.stop();
}
