import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { invalid } from '#kernel/errors.ts';

/** Rules of a promotion gate. Each rule is an object with one key that names its kind. */
const metric = z
  .string('must be the name of a metric')
  .min(1, 'must not be empty')
  .max(250, 'may have 250 characters at most');
const number = z.number('must be a number');
const share = number.min(0, 'must not be negative');

export const GateRule = z
  .union(
    [
      z.strictObject({ metric, min: number }).describe('The metric is at least this'),
      z.strictObject({ metric, max: number }).describe('The metric is at most this'),
      z
        .strictObject({ metric, max_loss: share })
        .describe('The metric is not worse than the baseline’s by more than this, in its own units'),
      z
        .strictObject({ metric, max_loss_pct: share })
        .describe('The metric is not worse than the baseline’s by more than this, in per cent of it'),
      z
        .strictObject({ tag: z.string(), equals: z.string().optional() })
        .describe('The version (or its model) has the tag, with this value'),
      z.strictObject({ owner: z.literal(true) }).describe('The version or its model has an owner'),
      z
        .strictObject({ max_age_days: number.positive('must be more than 0') })
        .describe('The version is not older than this'),
      z
        .strictObject({ min_age_hours: number.positive('must be more than 0') })
        .describe('The version has been there for this long'),
      z
        .strictObject({ stage: z.enum(['None', 'Staging', 'Production', 'Archived']) })
        .describe('The version has this stage now'),
      z.strictObject({ ready: z.literal(true) }).describe('MLflow says READY, and the run is FINISHED and not deleted'),
      z.strictObject({ same_dataset: z.literal(true) }).describe('Measured on the same dataset as the baseline'),
    ],
    'must be one of {metric, min}, {metric, max}, {metric, max_loss}, {metric, max_loss_pct}, {tag, equals?}, {owner: true}, {max_age_days}, {min_age_hours}, {stage}, {ready: true}, {same_dataset: true}',
  )
  .meta({ id: 'GateRule' });
export type GateRule = z.infer<typeof GateRule>;

export const GateRules = z.array(GateRule, 'must be a list of rules').max(100, 'may hold 100 rules at most');

/** @throws `invalid` with the rule and its fault */
export async function readGateRules(path: string): Promise<GateRule[]> {
  const refuse = (constraint: string) =>
    invalid(`GATE_RULES_FILE ${path} ${constraint}`, { parameter: 'GATE_RULES_FILE', constraint });
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw refuse(`cannot be read (${error.code})`);
  });
  const { parse } = await import('yaml');
  let value: unknown;
  try {
    value = parse(text);
  } catch (error) {
    throw refuse(`is neither YAML nor JSON: ${(error as Error).message.split('\n')[0]}`);
  }
  const rules = (value as { rules?: unknown } | null)?.rules ?? value;
  const parsed = GateRules.min(1, 'must hold one rule at least').safeParse(rules);
  if (parsed.success) return parsed.data;
  throw refuse(
    parsed.error.issues.map((issue) => `rule ${Number(issue.path[0] ?? 0) + 1} ${issue.message}`).join('; '),
  );
}
