import type { GateRule } from '#services/registry/promotion/gate-rules.ts';
import type { GateResult } from '#services/registry/promotion/promotion-schemas.ts';
import { type FakeRegistry, fakeMlflow } from '../fakes/mlflow.ts';
import { handClock } from './sources.ts';
import { testTower } from './tower.ts';

export const now = Date.UTC(2026, 10, 20);
export const day = 86_400_000;
type Json = Record<string, unknown>;

export const version = (number: string, more: Json = {}): Json => ({
  name: 'DNA',
  version: number,
  creation_timestamp: now - 10 * day + Number(number),
  last_updated_timestamp: now - 10 * day,
  current_stage: 'None',
  status: 'READY',
  run_id: `run${number}`,
  ...more,
});

export const run = (
  number: string,
  metrics: Record<string, number>,
  more: { params?: Record<string, string>; dataset?: [string, string]; info?: Json } = {},
) => ({
  info: {
    run_id: `run${number}`,
    experiment_id: '1',
    status: 'FINISHED',
    lifecycle_stage: 'active',
    start_time: 1,
    end_time: 2,
    ...more.info,
  },
  data: {
    metrics: Object.entries(metrics).map(([key, value]) => ({ key, value, timestamp: 1, step: 0 })),
    params: Object.entries(more.params ?? {}).map(([key, value]) => ({ key, value })),
  },
  ...(more.dataset
    ? { inputs: { dataset_inputs: [{ dataset: { name: more.dataset[0], digest: more.dataset[1] } }] } }
    : {}),
});

/** An instance with one model, and its promotion checks. */
export async function judging(registry: Partial<FakeRegistry>, env: Record<string, string> = {}) {
  const fake = await fakeMlflow({
    experiments: [{ experiment_id: '1', name: 'e', lifecycle_stage: 'active' }],
    models: [{ name: 'DNA', creation_timestamp: 1, description: 'a model', tags: [{ key: 'Team', value: 'x' }] }],
    ...registry,
  });
  const tower = await testTower({ MLFLOW_TRACKING_URI: fake.url, ...env }, { clock: handClock(now) });
  await tower.services.registry.refresh();
  const get = async <T>(path: string) => (await tower.app.inject(path)).json<T>();
  const gate = async (rules: GateRule[], more: Json = {}) =>
    (
      await tower.app.inject({ method: 'POST', url: '/model/DNA/2/gate', payload: { rules, ...more } })
    ).json<GateResult>();
  return { ...tower, fake, get, gate };
}

/** A champion and a challenger. */
export const pair = {
  versions: [
    version('1', { current_stage: 'Production' }),
    version('2', { current_stage: 'Staging', tags: [{ key: 'ok', value: 'yes' }] }),
  ],
  runs: [
    run(
      '1',
      { accuracy: 0.9, loss: 0.5, odd: 1, same: 2, only_old: 1 },
      { params: { lr: '1', depth: '3' }, dataset: ['holdout', 'aa'] },
    ),
    run(
      '2',
      { accuracy: 0.92, loss: 0.6, odd: 2, same: 2 },
      { params: { lr: '2', depth: '3' }, dataset: ['holdout', 'aa'] },
    ),
  ],
};
