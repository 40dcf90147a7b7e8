import { notFound } from '#kernel/errors.ts';
import type { RegisteredModel } from '#services/registry/snapshot/snapshot.ts';

/** @throws `not_found` for a version that the mirror does not have */
export function requireVersion(model: RegisteredModel, version: string): void {
  if (model.versions.some((item) => item.version === version)) return;
  throw notFound(`Model ${JSON.stringify(model.name)} has no version ${JSON.stringify(version)}`, {
    parameter: 'model_version',
    value: version,
  });
}
