import { fakeMlflow } from '../fakes/mlflow.ts';
import { smallRegistry } from '../fakes/small-registry.ts';
import { handClock } from '../support/sources.ts';
import { testTower } from '../support/tower.ts';

/** An instance that has read a small fake MLflow once, with a clock set by the test. */
export async function composeInstance(env: Record<string, string> = {}) {
  const fake = await fakeMlflow(smallRegistry());
  const clock = handClock();
  const tower = await testTower({ MLFLOW_TRACKING_URI: fake.url, ...env }, { clock });
  await tower.services.registry.refresh();
  return { ...tower, fake, clock };
}
