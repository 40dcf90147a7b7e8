import stringWidth from 'string-width';
import { describe, expect, it } from 'vitest';
import { card, table } from '#cli/table.ts';
import { plain } from '#kernel/plain-text.ts';

describe('table', () => {
  it('aligns columns of CJK, emoji and combining characters', () => {
    const names = ['模型登録', 'e\u0301te\u0301', '👩‍🔬 lab', 'plain'];
    const [head, ...rows] = table(
      ['NAME', 'N'],
      names.map((name, i) => [name, i]),
    ).split('\n');
    const columns = [head!, ...rows].map((line) => stringWidth(line));
    expect(new Set(columns).size).toBe(1);
  });

  it('cuts by display width, never within a character', () => {
    const [, row] = table(['NAME', 'N'], [['模型登録管理', 1]], 10).split('\n');
    expect(row).toMatch(/^模型登… /);
    expect(table(['NAME', 'N'], [['👩‍🔬👩‍🔬👩‍🔬', 1]], 8).split('\n')[1]).toMatch(/^👩‍🔬👩‍🔬… /u);
  });

  it('removes characters that control a terminal or change the text direction', () => {
    const evil = ['\u202E', '\u2066', '\u200F', '\u001B[2J', '\u0007', '\u2028'].join('x');
    expect(plain(evil)).not.toMatch(/[\p{Cc}\p{Bidi_Control}\u2028]/u);
    expect(card([[`a${evil}`, evil]]).replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Bidi_Control}\u2028]/u);
  });
});

it('renders any number of rows and entries', () => {
  const rows = Array.from({ length: 200_000 }, () => ['x']);
  expect(table(['A'], rows).split('\n')).toHaveLength(200_001);
  expect(card([])).toBe('');
});
