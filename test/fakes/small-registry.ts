import type { FakeRegistry } from './mlflow.ts';

type Json = Record<string, unknown>;

/** A small registry with one of each kind of entry, in MLflow's JSON. */
export function smallRegistry(): FakeRegistry {
  const at = 1_700_000_000_000;
  const version = (name: string, number: string, more: Json = {}): Json => ({
    name,
    version: number,
    creation_timestamp: at,
    last_updated_timestamp: at + 1000,
    current_stage: 'None',
    description: '',
    source: `runs:/${name}-${number}/model`,
    run_id: '',
    status: 'READY',
    run_link: '',
    ...more,
  });
  const run = (id: string, metrics: Json[], more: Json = {}) => ({
    info: {
      run_id: id,
      run_uuid: id,
      experiment_id: '1',
      run_name: id,
      status: 'FINISHED',
      start_time: at,
      end_time: at + 7_200_000,
      lifecycle_stage: 'active',
      ...more,
    },
    data: { metrics, params: [{ key: 'lr', value: '0.1' }], tags: [{ key: 'mlflow.user', value: 'dana' }] },
  });
  return {
    experiments: [
      {
        experiment_id: '1',
        name: 'genomics',
        artifact_location: '/a',
        lifecycle_stage: 'active',
        creation_time: at,
        last_update_time: at,
        tags: [{ key: 'team', value: 'genomics' }],
      },
      {
        experiment_id: '2',
        name: 'retired',
        artifact_location: '/b',
        lifecycle_stage: 'deleted',
        creation_time: at,
        last_update_time: at,
      },
    ],
    models: [
      {
        name: 'DNA',
        creation_timestamp: at,
        last_updated_timestamp: at,
        description: 'Main',
        tags: [{ key: 'team', value: 'genomics' }],
        aliases: [{ alias: 'champion', version: '1' }],
      },
      {
        name: 'aliased',
        creation_timestamp: at,
        last_updated_timestamp: at,
        aliases: [
          { alias: 'Champion', version: '2' },
          { alias: 'gone', version: '9' },
        ],
      },
      { name: 'empty', creation_timestamp: at, last_updated_timestamp: at },
    ],
    versions: [
      version('DNA', '1', {
        current_stage: 'Production',
        run_id: 'run1',
        description: 'first',
        tags: [
          { key: 'validated', value: 'true' },
          { key: 'type', value: 'classification' },
        ],
      }),
      version('DNA', '2', { current_stage: 'Staging', run_id: 'run2' }),
      version('DNA', '10', { run_id: 'run3' }),
      version('aliased', '1'),
      version('aliased', '2', { run_id: 'run2' }),
    ],
    runs: [
      run('run1', [
        { key: 'accuracy', value: 0.945, timestamp: at + 60_000, step: 1 },
        { key: 'bad', value: 'NaN', timestamp: at, step: 0 },
      ]),
      run('run2', [
        { key: 'accuracy', value: 0.91, timestamp: at + 60_000, step: 1 },
        { key: 'inf', value: 'Infinity', timestamp: at, step: 0 },
      ]),
      run('run3', [{ key: 'accuracy', value: 0.5, timestamp: at + 60_000, step: 1 }], {
        status: 'RUNNING',
        end_time: undefined,
      }),
    ],
    histories: {},
    loggedModels: {},
  };
}
