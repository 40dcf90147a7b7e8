import { availableParallelism } from 'node:os';
import { defineConfig, type TestProjectConfiguration } from 'vitest/config';
import { postgresPrograms } from './test/support/postgres-server.ts';

const soak = process.env['SOAK'] === '1';

/** The default on two cores is one worker, which takes nearly twice as long. */
const maxWorkers = Math.max(2, availableParallelism() - 1);

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ['test/{peers,postgres}/**'],
          maxWorkers,
          testTimeout: soak ? 600_000 : 10_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: {
          name: 'peers',
          // Real servers use the system clock.
          env: { TEST_CLOCK: 'system' },
          include: ['test/peers/**/*.test.ts'],
          testTimeout: 300_000,
          hookTimeout: 300_000,
          fileParallelism: false,
          // Files run one at a time come last unless their project has a place of its own.
          sequence: { groupOrder: 1 },
        },
      },
      ...overPostgres(),
    ],
  },
});

/** Tests of the store, repeated with PostgreSQL. */
function overPostgres(): TestProjectConfiguration[] {
  if (postgresPrograms() === null && !process.env['CI']) {
    if (process.argv.includes('postgres'))
      console.warn('NOT TESTED over PostgreSQL: it is not installed; .ci/run shows how to');
    return [];
  }
  return [
    {
      test: {
        name: 'postgres',
        include: [
          'test/{store,postgres}/**/*.test.ts',
          'test/routes/**/*.test.ts',
          'test/e2e/metrics-sigkill.test.ts',
          'test/services/{access,analytics,drift}/**/*.test.ts',
          'test/services/registry/{journal,webhooks}/**/*.test.ts',
          'test/services/registry/mirror/sharing.test.ts',
        ],
        globalSetup: 'test/support/postgres-for-all.ts',
        // After the peers, some of which measure time.
        sequence: { groupOrder: 2 },
        maxWorkers,
        testTimeout: soak ? 600_000 : 60_000,
        hookTimeout: 60_000,
      },
    },
  ];
}
