import type { Epoch } from '../lstm/train.ts';
import { targets } from './experiments.ts';
import type { JobProgress } from './jobs.ts';
import type { SavedModel } from './model-library.ts';
import type { Evaluation } from './pipeline.ts';
import type { EvaluationAnswer, ModelInfo } from './training-schemas.ts';

/** Answers about models and training. */

export const progressOf = ({ epoch, epochs, loss, validationLoss, seconds }: Epoch): JobProgress => ({
  epoch,
  epochs,
  loss,
  validation_loss: validationLoss,
  eta_seconds: Math.round((epochs - epoch) * seconds * 10) / 10,
});

/**
 * Reason to retrain a model; null if it is as accurate as before. Measured relative to persistence: errors grow with
 * the load, which alone is no decay.
 */
export function decayOf(now: Evaluation, then: Evaluation): string | null {
  const errors = ({ methods }: Evaluation, target: string) =>
    [methods[target]!['fused']!.mae, methods[target]!['persistence']!.mae] as const;
  for (const target of targets) {
    const [[today, plain], [before, plainBefore]] = [errors(now, target), errors(then, target)];
    // Without an error of persistence there is no scale.
    if (plain === 0 || plainBefore === 0) continue;
    if (today / plain > (before / plainBefore) * 1.25)
      return `the mean error of ${target} is ${(today / plain).toFixed(2)} × persistence; it was ${(before / plainBefore).toFixed(2)} × at training time`;
  }
  return null;
}

export function evaluationAnswer(
  model: SavedModel,
  { methods, ...evaluation }: Evaluation,
  reason: string | null,
  job: string | null,
  notes: string[],
  now: number,
): EvaluationAnswer {
  const fused = (i: number) => methods[targets[i]!]!['fused']!;
  return {
    service_name: model.service,
    evaluation_date: new Date(now).toISOString(),
    model_performance: { cpu_model: fused(0), memory_model: fused(1), replica_model: fused(2) },
    fusion_performance: { overall_confidence: evaluation.confidence, prediction_accuracy: evaluation.observedCoverage },
    methods,
    windows: evaluation.windows,
    experiments: evaluation.experiments,
    trained_at: model.trained_at,
    decayed: reason !== null,
    decay_reason: reason,
    retraining_job: job,
    notes,
  };
}

export const noModel = {
  trained_at: null,
  library_version: null,
  fingerprint: null,
  data_samples: null,
  window: null,
  weights: null,
  training_seconds: null,
  error: null,
};

export const infoOf = ({
  service,
  trained_at,
  library_version,
  fingerprint,
  samples,
  fitted,
  training_seconds,
}: SavedModel): ModelInfo => ({
  service,
  trained_at,
  library_version,
  fingerprint,
  data_samples: samples,
  training_seconds,
  window: fitted.window,
  weights: Object.fromEntries(
    targets.map((target, i) => [
      target,
      Object.fromEntries(fitted.fusion[i]!.map(({ name, weight }) => [name, weight])),
    ]),
  ),
  error: null,
});
