import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { normal, seededRandom } from '#kernel/rng.ts';
import { createCollected } from '#services/acquisition/experiments/collected.ts';
import {
  type Experiment,
  experimentId,
  loadExperiment,
  saveExperiment,
} from '#services/acquisition/experiments/experiments.ts';
import { cleanExperiment, validateQuality } from '#services/acquisition/experiments/quality.ts';
import { temporaryDirectory } from '../../../support/tower.ts';

/** A good experiment of fifteen minutes in steps of 30 s: steady, complete, with the stated load. */
function good(change: Partial<Experiment> = {}): Experiment {
  const random = seededRandom(1);
  const rows = 31;
  const column = (level: number, spread: number) =>
    Float64Array.from({ length: rows }, () => level * (1 + spread * normal(random)));
  return {
    id: experimentId('cart', 'browsing', 2, 20),
    service: 'cart',
    scenario: 'browsing',
    replicas: 2,
    users: 20,
    durationMinutes: 15,
    stepSeconds: null,
    namespace: null,
    job: null,
    startedAt: '2026-11-20T10:00:00Z',
    loadTest: {
      total: 1000,
      successful: 990,
      successRate: 0.99,
      durationSeconds: 899,
      throughput: null,
      offered: null,
      rounds: null,
      rejectedRounds: null,
      p95Ms: null,
    },
    rows,
    columns: {
      cpu_cores_value: column(0.2, 0.05),
      mem_bytes_value: column(1e8, 0.01),
      replica_count_value: column(2, 0),
      node_cpu_util_value: column(30, 0.1),
    },
    ...change,
  };
}
const failedOf = (experiment: Experiment) =>
  validateQuality(experiment)
    .checks.filter(({ passed }) => !passed)
    .map(({ name }) => name);
const withColumn = (name: string, of: (value: number, i: number) => number) => {
  const experiment = good();
  return { ...experiment, columns: { ...experiment.columns, [name]: experiment.columns[name]!.map(of) } };
};

describe('the quality grade of an experiment', () => {
  it('is high if all checks pass', () => {
    expect(validateQuality(good())).toMatchObject({ grade: 'high' });
    expect(failedOf(good())).toEqual([]);
  });

  it.each([
    [
      'its load failed',
      good({
        loadTest: {
          total: 40,
          successful: 37,
          successRate: 0.925,
          durationSeconds: 899,
          throughput: null,
          offered: null,
          rounds: null,
          rejectedRounds: null,
          p95Ms: null,
        },
      }),
      'low',
      ['load_success'],
    ],
    ['nothing is known of its load', good({ loadTest: null }), 'low', ['load_success']],
    [
      'it could not take as many users as it was to',
      good({
        loadTest: {
          total: 40,
          successful: 40,
          successRate: 1,
          durationSeconds: 899,
          throughput: null,
          offered: null,
          rounds: 90,
          rejectedRounds: 10,
          p95Ms: null,
        },
      }),
      'low',
      ['load_arrived'],
    ],
    [
      'its load ended early',
      good({
        loadTest: {
          total: 40,
          successful: 40,
          successRate: 1,
          durationSeconds: 29,
          throughput: null,
          offered: null,
          rounds: null,
          rejectedRounds: null,
          p95Ms: null,
        },
      }),
      'low',
      ['load_duration'],
    ],
    ['it has too many rows', good({ durationMinutes: 5 }), 'low', ['rows']],
    ['it had other replicas', withColumn('replica_count_value', (_, i) => (i < 10 ? 2 : 1)), 'low', ['replicas']],
    [
      'CPU is not known',
      withColumn('cpu_cores_value', (value, i) => (i % 2 === 0 ? value : Number.NaN)),
      'low',
      ['completeness'],
    ],
    ['a node’s figure is not known', withColumn('node_cpu_util_value', () => Number.NaN), 'medium', ['completeness']],
    [
      'a node was used by less than nothing',
      withColumn('node_cpu_util_value', (value, i) => (i === 5 ? -3 : value)),
      'medium',
      ['plausibility'],
    ],
    ['memory is zero', withColumn('mem_bytes_value', () => 0), 'medium', ['plausibility']],
    [
      'CPU rises',
      withColumn('cpu_cores_value', (value, i) => value * (1 + i / 30)),
      'medium',
      ['stability of cpu_cores_value'],
    ],
    [
      'CPU is all over the place',
      withColumn('cpu_cores_value', (value, i) => (i % 2 === 0 ? value : 3 * value)),
      'medium',
      ['stability of cpu_cores_value'],
    ],
  ])('is lower if %s', (_, experiment, grade, failed) => {
    expect(failedOf(experiment)).toEqual(failed);
    expect(validateQuality(experiment).grade).toBe(grade);
  });

  it('ignores the ramp', () => {
    expect(failedOf(withColumn('cpu_cores_value', (value, i) => (i < 4 ? value * 10 : value)))).toEqual([]);
  });
});

describe('cleaning', () => {
  it('removes the ramp and impossible values, reports them, and does not modify the experiment', () => {
    const dirty = withColumn('node_cpu_util_value', (value, i) =>
      i === 5 ? -3 : i === 6 ? Number.POSITIVE_INFINITY : value,
    );
    const { experiment, done } = cleanExperiment(dirty);
    expect(done).toEqual(['removed the first 4 rows: ramp', 'removed 2 impossible values of node_cpu_util_value']);
    expect(experiment.rows).toBe(27);
    expect(Array.from(experiment.columns['node_cpu_util_value']!.slice(0, 4), Number.isNaN)).toEqual([
      false,
      true,
      true,
      false,
    ]);
    expect(dirty.columns['node_cpu_util_value']![5]).toBe(-3);
  });
});

describe('experiment files', () => {
  it('are read back as written', async () => {
    const directory = temporaryDirectory();
    // Minus zero is zero in a file.
    const cell = fc.oneof(
      fc.double({ noNaN: true }).map((value) => value + 0),
      fc.constant(Number.NaN),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(cell, cell), { maxLength: 20 }), async (cells) => {
        const columns = {
          cpu_cores_value: Float64Array.from(cells, ([a]) => a),
          mem_bytes_value: Float64Array.from(cells, ([, b]) => b),
        };
        const experiment = good({ rows: cells.length, columns });
        await saveExperiment(directory, experiment, {
          duration_minutes: 15,
          load_test: { total_requests: 10, successful_requests: 9, duration_seconds: 900 },
        });
        const read = await loadExperiment(directory, experiment.id);
        if (cells.length > 0) expect(read.columns).toEqual(columns);
        expect(read).toMatchObject({
          rows: cells.length,
          replicas: 2,
          users: 20,
          durationMinutes: 15,
          loadTest: { successRate: 0.9 },
        });
      }),
      { numRuns: 30 },
    );
  });

  it('are reported if malformed, without affecting others', async () => {
    const directory = temporaryDirectory();
    const circumstances = {
      duration_minutes: 15,
      load_test: { total_requests: 10, successful_requests: 10, duration_seconds: 900 },
    };
    await saveExperiment(directory, good(), circumstances);
    writeFileSync(join(directory, 'cart_browsing_replicas_1_users_5.csv'), 'timestamp,cpu_cores_value\nt_0,much\n');
    writeFileSync(join(directory, 'cart_browsing_replicas_1_users_6.csv'), 'timestamp,cpu_cores_value\nt_0,1\n');
    writeFileSync(join(directory, 'cart_browsing_replicas_1_users_6.json'), '{');
    writeFileSync(join(directory, 'cart_browsing_replicas_1_users_7.csv'), 'timestamp,cpu_cores_value\nt_0,1\n');
    writeFileSync(join(directory, 'cart_browsing_replicas_1_users_7.json'), 'null');
    writeFileSync(join(directory, 'notes.csv'), 'nothing of ours');
    const collected = createCollected(directory);
    const { experiments, unreadable, data_quality } = await collected.list({});
    expect(experiments.map(({ experiment_id, quality }) => [experiment_id, quality])).toEqual([
      ['cart_browsing_replicas_2_users_20', 'high'],
    ]);
    expect(data_quality).toEqual({ high_quality: 1, medium_quality: 0, low_quality: 0 });
    expect(unreadable).toEqual([
      {
        experiment_id: 'cart_browsing_replicas_1_users_5',
        error:
          'cart_browsing_replicas_1_users_5.csv: cpu_cores_value in row 1 must be a number (got "much"); decimal mark: point',
      },
      {
        experiment_id: 'cart_browsing_replicas_1_users_6',
        error: 'cart_browsing_replicas_1_users_6.json is not valid JSON',
      },
      {
        experiment_id: 'cart_browsing_replicas_1_users_7',
        error: 'cart_browsing_replicas_1_users_7.json is not a JSON object',
      },
    ]);
    expect((await collected.list({ service: 'front' })).total_experiments).toBe(0);
    await expect(collected.one('../secret', {})).rejects.toMatchObject({ code: 'invalid' });
    expect(await collected.clear('cart')).toEqual({ deleted: 4 });
    expect(readdirSync(directory)).toEqual(['notes.csv']);
    expect((await createCollected(join(directory, 'none')).list({})).total_experiments).toBe(0);
  });

  const real = new URL('../../../fixtures/mora-experiments/', import.meta.url).pathname;
  it("are read as MOrA's collector wrote them, and graded low", async () => {
    const all = createCollected(real);
    const { total_experiments, data_quality, failed_checks, unreadable } = await all.list({});
    expect(unreadable).toEqual([]);
    expect(total_experiments).toBe(3);
    // No load test in them had a successful request, and none ran for its full duration.
    expect(data_quality).toEqual({ high_quality: 0, medium_quality: 0, low_quality: total_experiments });
    expect(failed_checks).toMatchObject({ load_success: total_experiments, load_duration: total_experiments });
    expect(Object.keys(failed_checks)).toEqual(expect.arrayContaining(['rows', 'replicas', 'completeness']));
  });
});
