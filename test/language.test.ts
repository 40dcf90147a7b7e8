import { globSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = resolve(import.meta.dirname, '..');
const read = (file: string): string => readFileSync(join(root, file), 'utf8');

/** Phrases in the last column of the glossary's tables. Those of one column with commas are one list. */
function forbiddenPhrases(glossary: string): string[] {
  const rows = glossary.split('\n').filter((line) => line.startsWith('| ') && !line.startsWith('|---'));
  return rows
    .map((row) => row.split('|').at(-2)!.trim())
    .filter((cell) => cell !== '' && cell !== 'not')
    .flatMap((cell) => cell.split(',').map((phrase) => phrase.trim()));
}

const escape = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');

/** `5` in a phrase stands for any value. */
const patternOf = (phrase: string): string => escape(phrase).replaceAll(' ', '\\s+').replace(/\b5\b/, '\\S+');

const forbidden = new RegExp(`\\b(?:${forbiddenPhrases(read('docs/glossary.md')).map(patternOf).join('|')})\\b`, 'gi');

/**
 * Texts in which a forbidden phrase has another meaning: names of an API or setting, technical terms, the user nobody of
 * Unix, an example value.
 */
const allowed = [
  /EVENTS_MAX_CHATTER/g,
  /\bpromises?\b/gi,
  /\blook-?(?:back|up|ups)\b/gi,
  /\bwalk-forward\b/gi,
  /\bheld-out\b/gi,
  /--reuid=nobody|runs\s+as\s+nobody/g,
  /(['"/])nobody\1?/g,
  /(['"])somebody\1/g,
];

/** The texts of a TypeScript file: comments and strings, without code. */
const textsOf = (source: string): string =>
  [...source.matchAll(/\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`/g)]
    .map(([text]) => text.replaceAll(/\n\s*\*?/g, ' '))
    .join('\n');

function foundIn(file: string): string[] {
  const source = read(file);
  const text = allowed.reduce(
    (rest, pattern) => rest.replaceAll(pattern, ''),
    file.endsWith('.ts') ? textsOf(source) : source,
  );
  return [...text.matchAll(forbidden)].map(([phrase]) => `${file}: ${phrase.replaceAll(/\s+/g, ' ')}`);
}

describe('the language of the project', () => {
  const code = globSync(['{src,routes,services,bench,build,test}/**/*.ts'], { cwd: root });
  const texts = globSync(
    [
      'docs/**/*.md',
      '*.md',
      '.env.example',
      'deploy/**/*.{md,yaml,json}',
      'examples/**/*.{md,py,yml}',
      'config/*.yaml',
    ],
    { cwd: root },
  );

  it('has none of the phrases that the glossary replaces', () => {
    // Decisions are kept as they were written; the changelog names what users had before.
    const checked = [...code, ...texts].filter(
      (file) => !/^docs\/(adr|glossary)/.test(file) && file !== 'CHANGELOG.md' && file !== 'test/language.test.ts',
    );
    expect(checked.length).toBeGreaterThan(500);
    expect(checked.flatMap(foundIn)).toEqual([]);
  });

  it('finds a phrase across lines of a comment, in a string, and in a document', () => {
    const comment = '/** The value is taken\n * back later. */\nconst text = `must be 7 at most`;';
    expect([...textsOf(comment).matchAll(forbidden)].map(([phrase]) => phrase.replaceAll(/\s+/g, ' '))).toEqual([
      'taken back',
      'must be 7 at most',
    ]);
    expect('const belief = 3;'.match(forbidden)).not.toBeNull();
    expect(textsOf('const belief = 3;')).toBe('');
  });
});
