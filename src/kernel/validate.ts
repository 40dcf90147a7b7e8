import type { z } from 'zod';
import { TowerError } from './errors.ts';

const maxIssues = 10;

/** Validates data against a zod schema; the error names each field and its rule. @param part - name of the whole */
export function validate<Value>(
  schema: z.ZodType<Value>,
  data: unknown,
  part: string,
): { value: Value } | { error: TowerError } {
  const parsed = schema.safeParse(data);
  if (parsed.success) return { value: parsed.data };
  const all = parsed.error.issues.flatMap((issue) => rulesOf(issue, part, data));
  // Caps the issues shown: ten thousand invalid values do not need ten thousand lines.
  const issues = all.slice(0, maxIssues);
  const text = issues.map(({ parameter, constraint }) =>
    /^[A-Z]/.test(constraint) ? constraint : `${parameter} ${constraint}`,
  );
  if (all.length > maxIssues) text.push(`and ${all.length - maxIssues} more`);
  return { error: new TowerError('invalid', text.join('; '), { details: { ...issues[0], issues } }) };
}

/** The validated value. @throws TowerError `invalid` */
export function validated<Value>(schema: z.ZodType<Value>, data: unknown, part: string): Value {
  const result = validate(schema, data, part);
  if ('error' in result) throw result.error;
  return result.value;
}

/** Fields and the rules they break; a complete sentence starts with a capital. */
function rulesOf(issue: z.core.$ZodIssue, part: string, data: unknown): { parameter: string; constraint: string }[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({
      parameter: [...issue.path, key].join('.'),
      constraint: part === 'querystring' ? 'is not a known query parameter' : `is not a known field of the ${part}`,
    }));
  }
  const constraint = issue.message
    .replace('Invalid input: expected', 'must be')
    .replace(', received undefined', ', but is missing');
  return [{ parameter: issue.path.join('.') || part, constraint: `${constraint}${receivedNumber(issue.path, data)}` }];
}

/** ` (got 5000)` for numbers; other values may be secret or long. */
function receivedNumber(path: readonly PropertyKey[], data: unknown): string {
  const value = path.reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown> | undefined)?.[key], data);
  return typeof value === 'number' ? ` (got ${value})` : '';
}
