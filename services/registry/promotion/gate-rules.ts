import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { invalid } from '#kernel/errors.ts';

/** Rules of a promotion gate. Each rule is an object with one key that names its kind. */
const metric = z
  .string('must be a metric name')
  .min(1, 'must not be empty')
  .max(250, 'must have at most 250 characters');
const number = z.number('must be a number');
const share = number.min(0, 'must not be negative');

export const GateRule = z
  .union(
    [
      z.strictObject({ metric, min: number }).describe('Minimum of the metric'),
      z.strictObject({ metric, max: number }).describe('Maximum of the metric'),
      z
        .strictObject({ metric, max_loss: share })
        .describe('Maximum loss compared with the baseline, in the metric’s units'),
      z
        .strictObject({ metric, max_loss_pct: share })
        .describe('Maximum loss compared with the baseline, in per cent of it'),
      z
        .strictObject({ tag: z.string(), equals: z.string().optional() })
        .describe('The version or its model has the tag, with this value if set'),
      z.strictObject({ owner: z.literal(true) }).describe('The version or its model has an owner'),
      z.strictObject({ max_age_days: number.positive('must be more than 0') }).describe('Maximum age of the version'),
      z.strictObject({ min_age_hours: number.positive('must be more than 0') }).describe('Minimum age of the version'),
      z
        .strictObject({ stage: z.enum(['None', 'Staging', 'Production', 'Archived']) })
        .describe('Current stage of the version'),
      z
        .strictObject({ ready: z.literal(true) })
        .describe('The version is READY, and its run is FINISHED and not deleted'),
      z.strictObject({ same_dataset: z.literal(true) }).describe('Measured on the same dataset as the baseline'),
    ],
    'must be one of {metric, min}, {metric, max}, {metric, max_loss}, {metric, max_loss_pct}, {tag, equals?}, {owner: true}, {max_age_days}, {min_age_hours}, {stage}, {ready: true}, {same_dataset: true}',
  )
  .meta({ id: 'GateRule' });
export type GateRule = z.infer<typeof GateRule>;

export const GateRules = z.array(GateRule, 'must be an array of rules').max(100, 'must have at most 100 rules');

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
    throw refuse(`is neither valid YAML nor JSON: ${(error as Error).message.split('\n')[0]}`);
  }
  const rules = (value as { rules?: unknown } | null)?.rules ?? value;
  const parsed = GateRules.min(1, 'must have at least one rule').safeParse(rules);
  if (parsed.success) return parsed.data;
  throw refuse(
    parsed.error.issues.map((issue) => `rule ${Number(issue.path[0] ?? 0) + 1} ${issue.message}`).join('; '),
  );
}
