import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { anonymise } from '#services/acquisition/experiments/anonymise.ts';
import {
  combinationsOf,
  configOf,
  isolationGroups,
  loadConfig,
  saveConfig,
  shippedConfig,
  validateConfig,
} from '#services/acquisition/experiments/experiment-config.ts';
import { temporaryDirectory } from '../../../support/tower.ts';

/** As MOrA prints them. */
const seed = {
  training: {
    steady_state_config: {
      experiment_duration_minutes: 15,
      replica_counts: [1, 2, 4],
      load_levels_users: [5, 10, 20, 30, 50, 75],
      test_scenarios: ['browsing', 'checkout'],
    },
  },
  max_parallel_workers: 1,
  cpu_limit_per_worker: 2,
  memory_limit_per_worker: 2,
  jmeter_thread_ramp_up: 30,
  jmeter_thread_ramp_down: 30,
  jmeter_think_time: 2,
  metrics_collection_interval: 30,
  prometheus_query_timeout: 10,
  max_retries: 3,
};

describe('experiment configurations', () => {
  it("match MOrA's, key by key", async () => {
    expect(await shippedConfig()).toMatchObject(seed);
    const byDefault = await shippedConfig('default');
    expect(byDefault.training.steady_state_config).toEqual({
      experiment_duration_minutes: 45,
      replica_counts: [1, 2, 4, 6],
      load_levels_users: [10, 50, 100, 150, 200, 250],
      test_scenarios: ['browsing', 'checkout'],
    });
    expect(combinationsOf('frontend', await shippedConfig())).toHaveLength(36);
    expect(combinationsOf('frontend', byDefault)).toHaveLength(48);
    await expect(shippedConfig('../settings')).rejects.toThrow('available: resource-optimized, default');
  });

  it('are unchanged after saving and loading', async () => {
    const file = join(temporaryDirectory(), 'experiments.yaml');
    const config = configOf({
      ...seed,
      custom_scenarios: { visit: { rounds: [{ name: 'visit', steps: [{ name: 'home', path: '/' }] }] } },
      shared_backends: [['web', 'cart']],
    });
    await saveConfig(config, file);
    expect(await loadConfig(file)).toEqual(config);
    writeFileSync(file, 'training: [');
    await expect(loadConfig(file)).rejects.toThrow('the configuration is not valid YAML');
    await expect(loadConfig(`${file}x`)).rejects.toThrow('cannot read the configuration');
  });

  it.each([
    [{ ...seed, jmeter_heap: 4 }, ['jmeter_heap is not a known key']],
    [
      { ...seed, max_parallel_workers: 0, jmeter_think_time: 'long' },
      ['max_parallel_workers must be at least 1', 'jmeter_think_time must be a number'],
    ],
    [{ training: {} }, ['training.steady_state_config must be an object']],
    [{ ...seed, cpu_limit_per_worker: 0.5 }, ['cpu_limit_per_worker must be at least 1']],
    [{ ...seed, target_url: 'http://shop/path' }, ['target_url must be http(s)://host[:port], without a path']],
    [
      {
        ...seed,
        training: {
          steady_state_config: {
            ...seed.training.steady_state_config,
            replica_counts: [1, 1],
            test_scenarios: ['buying'],
          },
        },
      },
      [
        'training.steady_state_config.replica_counts must not have duplicates',
        'training.steady_state_config.test_scenarios has no scenario buying; available: browsing, checkout',
      ],
    ],
    [
      {
        ...seed,
        training: { steady_state_config: { ...seed.training.steady_state_config, test_scenarios: ['buying'] } },
      },
      ['training.steady_state_config.test_scenarios has no scenario buying; available: browsing, checkout'],
    ],
    [
      {
        ...seed,
        custom_scenarios: { visit: { rounds: [{ name: 'a', steps: [{ name: 'home', path: '/{{place}}' }] }] } },
      },
      ['custom_scenarios.visit: scenario: {{place}} is not a variable; available: none'],
    ],
    [null, ['the configuration must be an object']],
  ])('%# with errors are refused with every invalid key', (config, errors) => {
    expect(validateConfig(config)).toEqual(errors);
    expect(() => configOf(config)).toThrow(errors[0]);
  });
});

describe('isolation groups', () => {
  it('contain services that share a target or a backend, and all services', () => {
    const name = fc.constantFrom(...'abcdef');
    const services = fc.uniqueArray(name, { minLength: 1 });
    const sharing = fc.array(fc.uniqueArray(name, { minLength: 2 }), { maxLength: 3 });
    fc.assert(
      fc.property(services, sharing, fc.integer({ min: 1, max: 6 }), (names, shared_backends, doors) => {
        const targetOf = (service: string) => `http://door-${service.codePointAt(0)! % doors}`;
        const groups = isolationGroups(names, { shared_backends }, targetOf);
        expect(groups.flat().sort()).toEqual(names.toSorted());
        for (const [i, one] of groups.entries())
          for (const other of groups.slice(i + 1))
            for (const a of one)
              for (const b of other) {
                expect(targetOf(a)).not.toBe(targetOf(b));
                expect(shared_backends.some((each) => each.includes(a) && each.includes(b))).toBe(false);
              }
      }),
    );
  });
});

it('anonymised files contain no addresses', () => {
  const said = anonymise({
    target: 'http://frontend.shop:8080',
    namespace: 'shop',
    collection_start: '2026-11-20T12:57:43.445Z',
    load_test: {
      requests: {
        home: {
          failures: { 'connect ECONNREFUSED 10.2.3.4:8080': 3, 'fe80::1 is away': 1, 'see https://x.y/z?k=v': 2 },
        },
      },
    },
    list: ['2001:db8:0:0:0:0:0:1', 5, null],
    warnings: ['duplicate series: {namespace="shop", pod=~"web-\\"1"}'],
  });
  expect(said).toEqual({
    namespace: said['namespace'],
    collection_start: '2026-11-20T12:57:43.445Z',
    load_test: {
      requests: {
        home: { failures: { 'connect ECONNREFUSED (address)': 3, '(address) is away': 1, 'see (address)': 2 } },
      },
    },
    list: ['(address)', 5, null],
    warnings: ['duplicate series: {namespace="(left out)", pod=~"(left out)"}'],
  });
  expect(said['namespace']).toMatch(/^[0-9a-f]{12}$/);
  expect(anonymise({ namespace: 'shop' })).toEqual({ namespace: said['namespace'] });
});
