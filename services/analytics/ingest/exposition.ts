/**
 * Parses Prometheus' text exposition format 0.0.4: `name{label="value",…} value [milliseconds]`, comments and blank
 * lines. Invalid lines are reported by number; the others count.
 */
export type Line =
  | { line: number; labels: [string, string][]; value: number; at: number | null }
  | { line: number; reason: string };

/** Lines one at a time: those of a large push are never in memory together. */
export function* readExposition(text: string): Generator<Line> {
  let line = 0;
  for (let from = 0; from <= text.length; line += 1) {
    const to = text.indexOf('\n', from);
    const raw = text.slice(from, to < 0 ? text.length : to).trim();
    from = to < 0 ? text.length + 1 : to + 1;
    if (raw !== '' && !raw.startsWith('#')) yield readLine(raw, line + 1);
  }
}

/** Maximum number of labels of a point. */
export const maxLabels = 64;

const head = /^([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(\{)?/;
const label = /^\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(,)?/;

function readLine(text: string, line: number): Line {
  const begin = head.exec(text);
  if (!begin) return { line, reason: 'the line must begin with a metric name' };
  const labels: [string, string][] = [['__name__', begin[1]!]];
  let rest = text.slice(begin[0].length);
  if (begin[2]) {
    let again = true;
    while (again && !/^\s*\}/.test(rest)) {
      const found = label.exec(rest);
      if (!found) return { line, reason: 'labels must be name="value", separated by commas' };
      if (labels.length > maxLabels) return { line, reason: `more than ${maxLabels} labels` };
      labels.push([found[1]!, found[2]!.replace(/\\(.)/g, (_, escaped: string) => (escaped === 'n' ? '\n' : escaped))]);
      rest = rest.slice(found[0].length);
      again = found[3] !== undefined;
    }
    const end = /^\s*\}/.exec(rest);
    if (!end) return { line, reason: 'labels must end with }' };
    rest = rest.slice(end[0].length);
  }
  const [value = '', time, ...more] = rest.trim().split(/\s+/);
  const number = numberOf(value);
  if (number === null)
    return { line, reason: `the value must be a number (got ${JSON.stringify(value.slice(0, 40))})` };
  if (more.length > 0 || (time !== undefined && !/^-?\d{1,15}$/.test(time)))
    return { line, reason: 'only a timestamp in milliseconds may follow the value' };
  return { line, labels, value: number, at: time === undefined ? null : Number(time) };
}

function numberOf(text: string): number | null {
  const special = {
    nan: Number.NaN,
    inf: Number.POSITIVE_INFINITY,
    '+inf': Number.POSITIVE_INFINITY,
    '-inf': Number.NEGATIVE_INFINITY,
  };
  const known = (special as Record<string, number>)[text.toLowerCase()];
  if (known !== undefined) return known;
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : null;
}
