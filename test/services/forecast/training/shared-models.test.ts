import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { modelFile } from '#services/forecast/training/model-library.ts';
import { createSharedModels } from '#services/forecast/training/shared-models.ts';
import { storeIn } from '../../../support/stores.ts';
import { temporaryFolder } from '../../../support/tower.ts';

const model = (day: number, size = 10) =>
  `{"schema_version":1,"model":{"trained_at":"2026-01-0${day}T00:00:00.000Z","x":"${'a'.repeat(size)}"}}\n`;

function folders() {
  const make = () => {
    const folder = join(temporaryFolder(), 'models');
    mkdirSync(folder);
    const path = join(folder, modelFile('web'));
    return { folder, path, write: (text: string) => writeFileSync(path, text), read: () => readFileSync(path, 'utf8') };
  };
  return [make(), make()] as const;
}

it('a model that one tower trained is brought to the others, also to many who ask at once', async () => {
  const [store, [mine, theirs]] = [storeIn(temporaryFolder()), folders()];
  mine.write(model(1, 2_000_000));
  await createSharedModels(store, mine.folder).leave('web');
  const shared = createSharedModels(store, theirs.folder);
  await Promise.all(Array.from({ length: 5 }, () => shared.bring('web')));
  expect(theirs.read()).toBe(mine.read());
});

it('the newer one counts: of the store, or of a folder whose tower could not leave it in time', async () => {
  const [store, [mine, theirs]] = [storeIn(temporaryFolder()), folders()];
  mine.write(model(1));
  await createSharedModels(store, mine.folder).leave('web');
  theirs.write(model(2));
  await createSharedModels(store, theirs.folder).bring('web');
  expect(theirs.read()).toBe(model(2));
  await createSharedModels(store, mine.folder).bring(null);
  expect(mine.read()).toBe(model(2));
});
