import { run } from '#cli/main.ts';
import type { Overrides } from '../../src/compose.ts';
import { fakeMlflow } from '../fakes/mlflow.ts';
import { smallRegistry } from '../fakes/small-registry.ts';
import { settle } from './sources.ts';
import { testTower } from './tower.ts';

/** An instance with a small fake MLflow that listens, and a CLI for it. */
export async function cliOver(env: Record<string, string> = {}, overrides: Overrides = {}) {
  const fake = await fakeMlflow(smallRegistry());
  const { app, services, directory } = await testTower({ MLFLOW_TRACKING_URI: fake.url, ...env }, overrides);
  await services.registry.refresh();
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  const tower = async (...args: string[]) => towerWith({}, ...args);
  const towerWith = async (more: Record<string, string>, ...args: string[]) => {
    const [out, err]: [string[], string[]] = [[], []];
    process.exitCode = 0;
    await run(args, {
      serve: async () => undefined,
      env: { TOWER_URL: url, ...more },
      out: (text) => out.push(text),
      err: (text) => err.push(text),
    });
    return { code: process.exitCode, out: out.join('\n'), err: err.join('\n') };
  };
  /** Runs a command that does not end by itself. */
  const context = (...args: string[]) => {
    const out: string[] = [];
    const done = run(args, {
      serve: async () => undefined,
      env: { TOWER_URL: url },
      out: (text) => out.push(text),
      err: (text) => out.push(text),
    });
    const until = async (seen: (text: string) => boolean) => {
      const deadline = Date.now() + 30_000;
      while (!seen(out.join('\n')) && Date.now() < deadline) await settle();
    };
    return { out, done, until };
  };
  return { tower, context, towerWith, fake, app, services, directory };
}
