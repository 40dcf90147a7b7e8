/**
 * Parses what PyYAML writes, which is YAML 1.1, with a parser of YAML 1.2. They differ in two respects:
 *
 * - Which texts need quotes. PyYAML writes `0918` and `1e-3` without them; YAML 1.2 takes these for numbers. Every scalar
 *   but null is a text here, and a field whose number matters is converted where it is used.
 * - Line breaks. In YAML 1.1, NEL is one, and so are the line and paragraph separators, which are kept as they are.
 */

/** A field of private use stands for each separator while the text is parsed. */
const stands = [
  ['\u2028', '\uF8FE'],
  ['\u2029', '\uF8FF'],
] as const;

/** @returns the fields of a mapping; null for anything else, and for what is no YAML */
export async function parsePyYaml(content: string): Promise<Record<string, unknown> | null> {
  const { parse } = await import('yaml');
  const hasSeparators = /[\u2028\u2029]/.test(content);
  try {
    const fields: unknown = parse(withLineBreaks(content, hasSeparators), {
      schema: 'failsafe',
      customTags: ['null'],
      logLevel: 'error',
    });
    if (typeof fields !== 'object' || fields === null || Array.isArray(fields)) return null;
    const entries = Object.entries(fields);
    return hasSeparators ? Object.fromEntries(entries.map(([key, value]) => [key, restored(value)])) : { ...fields };
  } catch {
    return null;
  }
}

/** The content with the line breaks of YAML 1.2. PyYAML indents after a separator, and repeats a line feed before it. */
function withLineBreaks(content: string, hasSeparators: boolean): string {
  const text = content.replaceAll('\u0085', '\n');
  if (!hasSeparators) return text;
  return stands
    .reduce((replaced, [separator, stand]) => replaced.replaceAll(separator, stand), text)
    .replaceAll(/([\uF8FE\uF8FF]) */g, '$1')
    .replaceAll(/(?<!\n)\n([\uF8FE\uF8FF])/g, '$1')
    .replaceAll(/\n([\uF8FE\uF8FF])/g, '\n  $1')
    .replaceAll(/([\uF8FE\uF8FF]\n+)/g, '$1\n');
}

const restored = (value: unknown): unknown =>
  typeof value === 'string'
    ? stands.reduce((text, [separator, stand]) => text.replaceAll(stand, separator), value)
    : value;
