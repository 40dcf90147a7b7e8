import type { Matcher } from 're2js';
import { labelOf } from '../storage/keys.ts';
import { regexOf } from './parse.ts';
import { type Element, ExecutionError, unique } from './vector.ts';

/** Label functions and date functions (Prometheus' promql/functions.go). */

const labelName = /^[a-zA-Z_][a-zA-Z0-9_]*$/;

/** @throws Impossible, SyntaxFault, Unsupported */
export function replaceLabel(
  elements: Element[],
  [to, template, from, pattern]: [string, string, string, string],
): Element[] {
  if (!labelName.test(to)) throw new ExecutionError(`invalid destination label name in label_replace: ${to}`);
  const regex = regexOf(pattern);
  return unique(
    elements.map((element) => {
      const found = regex.matcher(labelOf(element.labels, from));
      if (!found.matches()) return element;
      const value = template.replaceAll(
        /\$(?:(\w+)|\{(\w+)\}|(\$))/g,
        (_, plain?: string, braced?: string, dollar?: string) => dollar ?? group(found, plain ?? braced ?? ''),
      );
      return withLabel(element, to, value);
    }),
  );
}

/** A reference to a missing group is replaced by nothing. */
function group(found: Matcher, name: string): string {
  if (/^\d+$/.test(name)) return Number(name) <= found.groupCount() ? (found.group(Number(name)) ?? '') : '';
  return Object.hasOwn(found.pattern().namedGroups(), name) ? (found.group(name) ?? '') : '';
}

/** @throws Impossible */
export function joinLabels(elements: Element[], [to, separator, ...from]: [string, string, ...string[]]): Element[] {
  const wrong = [to, ...from].find((name) => !labelName.test(name));
  if (wrong !== undefined) throw new ExecutionError(`invalid label name in label_join: ${wrong}`);
  return unique(
    elements.map((element) =>
      withLabel(element, to, from.map((name) => labelOf(element.labels, name)).join(separator)),
    ),
  );
}

/** Maximum length of a computed label value, which nested functions can multiply. */
const maxValueLength = 8_192;

/** A label with an empty value does not exist. */
function withLabel(element: Element, name: string, value: string): Element {
  if (value.length > maxValueLength)
    throw new ExecutionError(`the label ${name} would have more than ${maxValueLength} characters`);
  const { [name]: _, ...rest } = element.labels;
  return { ...element, labels: value === '' ? rest : { ...rest, [name]: value } };
}

/** Date parts in UTC. */
const dateParts: Record<string, (date: Date) => number> = {
  minute: (date) => date.getUTCMinutes(),
  hour: (date) => date.getUTCHours(),
  day_of_week: (date) => date.getUTCDay(),
  day_of_month: (date) => date.getUTCDate(),
  day_of_year: (date) => Math.floor((date.getTime() - Date.UTC(date.getUTCFullYear(), 0, 1)) / 86_400_000) + 1,
  days_in_month: (date) => new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 0)).getUTCDate(),
  month: (date) => date.getUTCMonth() + 1,
  year: (date) => date.getUTCFullYear(),
};

/** What Prometheus (2.42) answers for NaN, infinity and numbers beyond 64 bits: the parts of its earliest time. */
const partsBeyond: Record<string, number> = {
  minute: 30,
  hour: 15,
  day_of_week: 0,
  day_of_month: 4,
  day_of_year: 339,
  days_in_month: 31,
  month: 12,
  year: 292_277_026_596,
};

/** Seconds and years after which the calendar repeats. */
const cycle = { seconds: 146_097n * 86_400n, years: 400 };

/** Functions of a time in seconds. */
export const dateFunctions: Record<string, (seconds: number) => number> = Object.fromEntries(
  Object.entries(dateParts).map(([name, part]) => [
    name,
    (seconds: number) => {
      if (!(Math.abs(seconds) < 2 ** 63)) return partsBeyond[name]!;
      const whole = BigInt(Math.trunc(seconds));
      const rest = ((whole % cycle.seconds) + cycle.seconds) % cycle.seconds;
      // JavaScript's dates end in the year 275760.
      const years = name === 'year' ? cycle.years * Number((whole - rest) / cycle.seconds) : 0;
      return part(new Date(Number(rest) * 1000)) + years;
    },
  ]),
);
