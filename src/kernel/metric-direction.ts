/** Whether higher values of a metric are better; `unknown` = no assumption. */
export type Direction = 'higher' | 'lower' | 'unknown';

/** Directions fixed by the user's settings, by lower-case metric name. */
export type Directions = { higher: ReadonlySet<string>; lower: ReadonlySet<string> };

const higher = new Set(
  'accuracy acc auc roc_auc auroc pr_auc auprc f1 f1_score fbeta precision recall sensitivity specificity r2 r2_score explained_variance ap map mean_average_precision mcc kappa cohen_kappa ndcg mrr hit_rate iou dice bleu rouge meteor silhouette gini ks_statistic balanced_accuracy top_k_accuracy likelihood log_likelihood tpr tnr'.split(
    ' ',
  ),
);
const lower = new Set(
  'loss error err mae mse rmse mape smape wape mase msle rmsle logloss log_loss cross_entropy brier brier_score hinge latency latency_ms perplexity ppl wer cer ter fpr fnr eer ece deviance pinball quantile_loss huber nll bias_abs median_absolute_error max_error mean_absolute_error mean_squared_error root_mean_squared_error'.split(
    ' ',
  ),
);

/**
 * Direction of a metric by its name: the user's setting, else common terms in the name. Checks the whole name first,
 * then the name without a prefix such as `val_` or `test/`, without a cut-off such as `@10`, and last its final word.
 */
export function directionOf(metric: string, settled: Directions): Direction {
  const name = metric.toLowerCase().trim();
  if (settled.higher.has(name)) return 'higher';
  if (settled.lower.has(name)) return 'lower';
  for (const word of readings(name)) {
    if (higher.has(word)) return 'higher';
    if (lower.has(word)) return 'lower';
  }
  return 'unknown';
}

function readings(name: string): string[] {
  const plain = name
    .replace(/[@_-](at_)?k?\d+$/, '')
    .replaceAll(/[\s.-]+/g, '_')
    .replace(/^.*\//, '');
  const bare = plain.replace(
    /^((train|training|val|valid|validation|test|eval|dev|holdout|prod|production|mean|avg|macro|micro|weighted)_)+/,
    '',
  );
  const tail = bare.replace(/_(score|rate|mean|avg|macro|micro|weighted|score_\w+)$/, '');
  return [plain, bare, tail, bare.split('_').at(-1) ?? bare];
}

/** Change from `before` to `after` with the sign set so that positive is better; null if the direction is unknown. */
export const improvement = (before: number, after: number, direction: Direction): number | null =>
  direction === 'unknown' ? null : (after - before) * (direction === 'higher' ? 1 : -1);
