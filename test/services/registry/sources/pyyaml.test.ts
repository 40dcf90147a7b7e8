import { describe, expect, it } from 'vitest';
import { parsePyYaml } from '#services/registry/sources/pyyaml.ts';

/** What PyYAML 6 writes of each text; test/peers/pyyaml.test.ts compares many more with PyYAML itself. */
describe('YAML of PyYAML', () => {
  it.each([
    ['0918', '0918'],
    ['1e-3', '1e-3'],
    ['12e45678', '12e45678'],
    ['0o17', '0o17'],
    ['.5e3', '.5e3'],
    ["'yes'", 'yes'],
    ["'null'", 'null'],
    ["'2020-01-01'", '2020-01-01'],
    ['y', 'y'],
    ['"\\xE9"', 'é'],
    ["''", ''],
    ["'two\n\n  lines'", 'two\nlines'],
    ["'separated\u2028  by a line separator'", 'separated\u2028by a line separator'],
    ['"\\0\\a\\N\\L"', '\0\u0007\u0085\u2028'],
  ])('%s is a text', async (written, text) => {
    expect(await parsePyYaml(`description: ${written}\nname: m\n`)).toEqual({ description: text, name: 'm' });
  });

  it.each(['null', '~', ''])('only a plain null is null: "%s"', async (written) => {
    expect(await parsePyYaml(`a: ${written}\nb: 1\n`)).toEqual({ a: null, b: '1' });
  });

  it.each([
    '',
    'text',
    '- a\n',
    '"open',
    '{a: 1',
    'a: 1\na: 2\n',
    'a:\n\tb: 1\n',
    '\0\0\0',
    '&a [*a, *a',
  ])('is not %j', async (content) => {
    expect(await parsePyYaml(content)).toBeNull();
  });
});
