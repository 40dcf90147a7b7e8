/**
 * Parses Prometheus' text exposition format 0.0.4: `name{label="value",…} value [milliseconds]`, comments and blank
 * lines. Invalid lines are reported by number; the others count.
 */
export type Line =
  | { line: number; labels: [string, string][]; value: number; at: number | null }
  | { line: number; reason: string };

export function readExposition(text: string): Line[] {
  return text.split('\n').flatMap((raw, i) => {
    const line = raw.trim();
    return line === '' || line.startsWith('#') ? [] : [readLine(line, i + 1)];
  });
}

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
  if (number === null) return { line, reason: `the value must be a number (got ${JSON.stringify(value)})` };
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
