import { readFile } from 'node:fs/promises';
import { parse, stringify } from 'yaml';
import { z } from 'zod';
import { invalid, notFound } from '#kernel/errors.ts';
import { writeText } from '#kernel/files.ts';
import { assetUrl } from '#kernel/program-files.ts';
import { checkScenario, Scenario, scenarios } from '../load/scenario.ts';
import { generators } from '../load/thread.ts';
import { experimentId } from './experiments.ts';

/** Experiment configuration: replica counts, users, scenarios, durations. */

const between = (least: number, most: number) =>
  z.number('must be a number').min(least, `must be at least ${least}`).max(most, `must be at most ${most}`);
const whole = (least: number, most: number) =>
  z.int('must be an integer').min(least, `must be at least ${least}`).max(most, `must be at most ${most}`);
const several = <Item extends z.ZodType>(item: Item) =>
  z
    .array(item, 'must be an array')
    .min(1, 'must have at least one element')
    .max(50, 'must have at most 50 elements')
    .refine((items) => new Set(items).size === items.length, 'must not have duplicates');
const serviceName = z
  .string('must be a string')
  .regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, 'must be a valid Kubernetes name');
/** Scenario names are part of file names. */
const scenarioName = z.string('must be a string').regex(/^[a-z]{1,63}$/, 'must be lower-case letters');
const origin = z
  .string('must be a string')
  .refine(
    (text) => /^https?:\/\/[^/?#@]+\/?$/.test(text) && URL.canParse(text),
    'must be http(s)://host[:port], without a path',
  );

/** Missing keys are reported by the field itself; unknown keys by an error of their own. */
const mapping = {
  error: (issue: { code?: string }) => (issue.code === 'invalid_type' ? 'must be an object' : undefined),
};

const SteadyState = z.strictObject(
  {
    experiment_duration_minutes: between(0.02, 1440).describe('Duration of steady load, between the ramps'),
    replica_counts: several(whole(1, 1000)),
    load_levels_users: several(whole(1, 100_000)),
    test_scenarios: several(scenarioName).describe('browsing, checkout, or one of custom_scenarios'),
  },
  mapping,
);

export const ExperimentConfig = z
  .strictObject(
    {
      training: z.strictObject({ steady_state_config: SteadyState }, mapping),
      max_parallel_workers: whole(1, 16)
        .default(1)
        .describe('Maximum number of concurrent experiments, of isolated services'),
      cpu_limit_per_worker: between(1, 256)
        .default(2)
        .describe('Cores for a load generator, at least 1; it uses one thread'),
      memory_limit_per_worker: between(0.25, 64).default(2).describe('GiB of memory for a load generator'),
      jmeter_thread_ramp_up: between(0, 3600).default(30).describe('Ramp-up in seconds'),
      jmeter_thread_ramp_down: between(0, 3600).default(30).describe('Ramp-down in seconds'),
      jmeter_think_time: between(0.01, 3600).default(2).describe('Think time before each request, in seconds'),
      metrics_collection_interval: whole(1, 3600).default(30).describe('Seconds between two rows'),
      prometheus_query_timeout: between(1, 600).default(10).describe('Timeout of a query, in seconds'),
      max_retries: whole(0, 20).default(3).describe('Number of retries of a failed experiment'),
      pods_ready_timeout: whole(1, 86_400).default(300).describe('Maximum wait for all pods to be ready, in seconds'),
      load_generator: z
        .enum(generators, `must be ${generators.join(' or ')}`)
        .default('open model')
        .describe('jmeter: a closed model, in which users wait for responses; requires JMETER_HOME'),
      target_url: origin.optional().describe('Load target, one of LOAD_TARGETS; default: the only one'),
      target_urls: z.record(serviceName, origin).default({}).describe('Load targets by service, if they differ'),
      shared_backends: z
        .array(z.array(serviceName).min(2, 'must have at least two elements'))
        .default([])
        .describe('Services that share a backend; they are never tested at the same time'),
      scale_to_zero: z
        .array(serviceName)
        .default([])
        .describe('Workloads that would disturb, scaled to 0 meanwhile: loadgenerator'),
      custom_scenarios: z.record(scenarioName, Scenario.omit({ name: true })).default({}),
      anonymize: z
        .boolean('must be true or false')
        .default(false)
        .describe('Write no addresses, and namespaces as hashes'),
    },
    mapping,
  )
  .superRefine((config, context) => {
    const unknown = config.training.steady_state_config.test_scenarios.filter(
      (name) => !Object.hasOwn(scenarios, name) && !Object.hasOwn(config.custom_scenarios, name),
    );
    for (const name of unknown)
      context.addIssue({
        code: 'custom',
        path: ['training', 'steady_state_config', 'test_scenarios'],
        message: `has no scenario ${name}; available: ${[...Object.keys(scenarios), ...Object.keys(config.custom_scenarios)].join(', ')}`,
      });
  });
export type ExperimentConfig = z.infer<typeof ExperimentConfig>;

/** Errors by key; empty if the configuration is valid. */
export function validateConfig(config: unknown): string[] {
  const parsed = ExperimentConfig.safeParse(config);
  if (!parsed.success)
    return parsed.error.issues.flatMap((issue) =>
      issue.code === 'unrecognized_keys'
        ? issue.keys.map((key) => `${[...issue.path, key].join('.')} is not a known key`)
        : [`${issue.path.join('.') || 'the configuration'} ${issue.message}`],
    );
  return Object.entries(parsed.data.custom_scenarios).flatMap(([name, scenario]) => {
    try {
      checkScenario({ ...scenario, name });
      return [];
    } catch (error) {
      return [`custom_scenarios.${name}: ${(error as Error).message}`];
    }
  });
}

/** @throws TowerError `invalid` with every invalid key */
export function configOf(value: unknown): ExperimentConfig {
  const errors = validateConfig(value);
  if (errors.length > 0) throw invalid(`config: ${errors.join('; ')}`, { parameter: 'config', errors });
  return ExperimentConfig.parse(value);
}

/** Loads a YAML or JSON file. @throws TowerError `invalid` */
export async function loadConfig(file: string | URL): Promise<ExperimentConfig> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw invalid(`cannot read the configuration ${String(file)} (${error.code})`, { parameter: 'config-file' });
  });
  let value: unknown;
  try {
    value = parse(text);
  } catch (error) {
    throw invalid(`the configuration is not valid YAML: ${(error as Error).message.split('\n')[0]}`, {
      parameter: 'config-file',
    });
  }
  return configOf(value);
}

/** Writes a file that `loadConfig` reads back unchanged. @throws TowerError `invalid` */
export async function saveConfig(config: ExperimentConfig, file: string): Promise<void> {
  await writeText(file, stringify(configOf(config)));
}

/** Included configurations: `resource-optimized` for small clusters, and `default`. */
const shippedNames = ['resource-optimized', 'default'] as const;

/** @throws TowerError `not_found` with the available names */
export async function shippedConfig(name = 'resource-optimized'): Promise<ExperimentConfig> {
  const shipped = shippedNames.find((each) => each === name);
  if (!shipped) throw notFound(`configuration ${name} not found; available: ${shippedNames.join(', ')}`);
  return loadConfig(assetUrl(`config/${shipped}.yaml`));
}

export type Combination = { id: string; service: string; scenario: string; replicas: number; users: number };

/** All experiments of a service, ordered by replicas, then by users. */
export function combinationsOf(service: string, { training }: ExperimentConfig): Combination[] {
  const { replica_counts, test_scenarios, load_levels_users } = training.steady_state_config;
  return replica_counts.flatMap((replicas) =>
    test_scenarios.flatMap((scenario) =>
      load_levels_users.map((users) => ({
        id: experimentId(service, scenario, replicas, users),
        service,
        scenario,
        replicas,
        users,
      })),
    ),
  );
}

export const scenarioOf = (config: ExperimentConfig, name: string): Scenario => {
  const own = config.custom_scenarios[name];
  const scenario = own ? { ...own, name } : scenarios[name as keyof typeof scenarios];
  // Constant pauses of the configured length, as JMeter's constant timer makes them.
  return { ...scenario, think_seconds: [config.jmeter_think_time, config.jmeter_think_time] };
};

/**
 * Groups of services that must not be tested at the same time: those with the same target, since each would measure the
 * other's load, and those configured to share a backend.
 * @param targetOf - origin that receives the load of a service
 */
export function isolationGroups(
  services: readonly string[],
  { shared_backends }: Pick<ExperimentConfig, 'shared_backends'>,
  targetOf: (service: string) => string,
): string[][] {
  let groups: string[][] = services.map((service) => [service]);
  const join = (together: readonly string[]) => {
    const touched = groups.filter((group) => group.some((service) => together.includes(service)));
    if (touched.length > 1) groups = [...groups.filter((group) => !touched.includes(group)), touched.flat()];
  };
  for (const same of Map.groupBy(services, targetOf).values()) join(same);
  for (const sharing of shared_backends) join(sharing);
  return groups;
}
