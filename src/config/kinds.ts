import { z } from 'zod';
import { isHeaderText } from '#kernel/header-text.ts';

/** Kinds of settings. A variable that is set but empty counts as not set. */

/** `true`, `false` and their usual synonyms. */
export const flag = (value: boolean) =>
  z
    .enum(['true', 'false', '1', '0', 'yes', 'no', 'on', 'off'], 'must be true or false')
    .default(value ? 'true' : 'false')
    .transform((text) => ['true', '1', 'yes', 'on'].includes(text));

/** A number within bounds, whole unless said otherwise. */
export const number = (value: number, min: number, max: number, whole = true) => {
  const rule = `must be ${whole ? 'an integer' : 'a number'} between ${min} and ${max}`;
  const bounded = z.coerce.number(rule).min(min, rule).max(max, rule);
  return (whole ? bounded.int(rule) : bounded).default(value);
};

export const text = () => z.string().optional();

/** A text that is sent in an HTTP header. */
export const headerText = () =>
  z
    .string()
    .refine(isHeaderText, 'must have only characters that an HTTP header can hold (no line breaks, Latin-1)')
    .optional();
/** Comma-separated items. */
export const list = (value: string) =>
  z
    .string()
    .default(value)
    .transform((items) =>
      items
        .split(',')
        .map((item) => item.trim())
        .filter(Boolean),
    );
