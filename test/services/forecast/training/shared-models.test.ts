import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { modelFile } from '#services/forecast/training/model-library.ts';
import { createSharedModels } from '#services/forecast/training/shared-models.ts';
import { storeIn } from '../../../support/stores.ts';
import { temporaryDirectory } from '../../../support/tower.ts';

const model = (day: number, size = 10) =>
  `{"schema_version":1,"model":{"trained_at":"2026-01-0${day}T00:00:00.000Z","x":"${'a'.repeat(size)}"}}\n`;

function directories() {
  const make = () => {
    const directory = join(temporaryDirectory(), 'models');
    mkdirSync(directory);
    const path = join(directory, modelFile('web'));
    return {
      directory,
      path,
      write: (text: string) => writeFileSync(path, text),
      read: () => readFileSync(path, 'utf8'),
    };
  };
  return [make(), make()] as const;
}

it('a model trained by one instance is fetched by the others, also concurrently', async () => {
  const [store, [mine, theirs]] = [storeIn(temporaryDirectory()), directories()];
  mine.write(model(1, 2_000_000));
  await createSharedModels(store, mine.directory).publish('web');
  const shared = createSharedModels(store, theirs.directory);
  await Promise.all(Array.from({ length: 5 }, () => shared.fetch('web')));
  expect(theirs.read()).toBe(mine.read());
});

it('the newer of the stored and the local model is used', async () => {
  const [store, [mine, theirs]] = [storeIn(temporaryDirectory()), directories()];
  mine.write(model(1));
  await createSharedModels(store, mine.directory).publish('web');
  theirs.write(model(2));
  await createSharedModels(store, theirs.directory).fetch('web');
  expect(theirs.read()).toBe(model(2));
  await createSharedModels(store, mine.directory).fetch(null);
  expect(mine.read()).toBe(model(2));
});
