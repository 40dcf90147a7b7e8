import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { notFound, publicText, unavailable } from '#kernel/errors.ts';
import { namesIn, writeAtomically } from '#kernel/files.ts';
import { fromKeras, toKeras } from '../lstm/keras-files.ts';
import { checkServiceName, type Experiment, features } from './experiments.ts';
import type { Evaluation } from './pipeline.ts';
import type { Fitted } from './pipeline-members.ts';

/** Trained models on disk: one JSON file each, with a checksum, written atomically. */

/** Last windows of experiments, from which a recommendation can start. */
export type LastWindow = { id: string; scenario: string; replicas: number; users: number; rows: number[][] };

export type SavedModel = {
  service: string;
  trained_at: string;
  library_version: string;
  /** Fingerprint of the training data. */
  fingerprint: string;
  samples: number;
  training_seconds: number;
  fitted: Fitted;
  /** Evaluation on the test experiments at training time. */
  evaluation: Evaluation;
  endings: LastWindow[];
  notes: string[];
};

/** `error`: why the file cannot be used; other models are loaded nevertheless. */
export type Listed = { service: string; model: SavedModel } | { service: string; error: string };

const schemaVersion = 1;
export const modelFile = (service: string): string => `${service}_lstm_prophet_pipeline.json`;
const fileSuffix = modelFile('');

/** @returns the path of the file */
export async function saveModel(directory: string, model: SavedModel): Promise<string> {
  checkServiceName(model.service);
  const { weights, shape, ridge, residuals, ...fitted } = model.fitted;
  const keras = toKeras(shape, weights);
  const body = JSON.stringify({
    ...model,
    fitted: { ...fitted, ridge: ridge.map((row) => [...row]), residuals: residuals.map((row) => [...row]) },
    keras: { json: keras.json, weights: Buffer.from(keras.data).toString('base64') },
  });
  const path = join(directory, modelFile(model.service));
  // The checksum covers the text as written, so that verification needs no canonical JSON.
  await writeAtomically(
    path,
    chunks(`{"schema_version":${schemaVersion},"checksum":"${checksumOf(body)}","model":${body}}\n`),
  );
  return path;
}

async function* chunks(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}

const checksumOf = (text: string): string => createHash('sha256').update(text).digest('hex');

/** @throws TowerError `not_found`, `unavailable` for a damaged file or one of a newer version */
export async function loadModel(directory: string, service: string): Promise<SavedModel> {
  checkServiceName(service);
  const text = await readFile(join(directory, modelFile(service)), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT')
      throw notFound(`no trained model of ${service}; POST /api/v1/services/${service}/train trains one`, {
        service,
      });
    throw unavailable(`cannot read the model of ${service} (${error.code})`, error);
  });
  return parseModel(text, service);
}

function parseModel(text: string, service: string): SavedModel {
  const damaged = (why: string, cause?: unknown) =>
    unavailable(`the model file of ${service} ${why}; train it again`, cause);
  const head = /^\{"schema_version":(\d+),"checksum":"([0-9a-f]{64})","model":/.exec(text);
  if (!head) throw damaged('is damaged: invalid header');
  if (Number(head[1]) > schemaVersion)
    throw damaged(`has schema ${head[1]}, newer than this version supports (${schemaVersion})`);
  const body = text.slice(head[0].length, -2);
  if (checksumOf(body) !== head[2]) throw damaged('is damaged: checksum mismatch');
  const { keras, fitted, ...model } = JSON.parse(body) as SavedModel & { keras: { json: unknown; weights: string } };
  const { shape, weights } = fromKeras({ json: keras.json, data: Buffer.from(keras.weights, 'base64') });
  const numbers = (rows: ArrayLike<number>[]) => rows.map((row) => Float64Array.from(row));
  return {
    ...model,
    fitted: { ...fitted, shape, weights, ridge: numbers(fitted.ridge), residuals: numbers(fitted.residuals) },
  };
}

/** Services with model files. */
export async function servicesIn(directory: string): Promise<string[]> {
  const names = await namesIn(directory);
  return names
    .filter((name) => name.endsWith(fileSuffix))
    .map((name) => name.slice(0, -fileSuffix.length))
    .sort();
}

/** All models, including unusable files. */
export async function listModels(directory: string): Promise<Listed[]> {
  return Promise.all(
    (await servicesIn(directory)).map(async (service): Promise<Listed> => {
      try {
        return { service, model: await loadModel(directory, service) };
      } catch (error) {
        return { service, error: publicText(error) };
      }
    }),
  );
}

/** Changes with any value, row or experiment used for training. */
export function fingerprintOf(experiments: Experiment[]): string {
  const hash = createHash('sha256');
  for (const { id, rows, values } of experiments)
    hash.update(`${id} ${rows}\n`).update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  return hash.digest('hex');
}

/** The last `window` rows of each experiment. */
export const lastWindows = (experiments: Experiment[], window: number): LastWindow[] =>
  experiments
    .filter(({ rows }) => rows >= window)
    .map(({ id, scenario, replicas, users, rows, values }) => ({
      id,
      scenario,
      replicas,
      users,
      rows: Array.from({ length: window }, (_, i) => [
        ...values.subarray((rows - window + i) * features.length, (rows - window + i + 1) * features.length),
      ]),
    }));
