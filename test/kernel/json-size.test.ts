import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { exceededLimit } from '#kernel/json-size.ts';

const depthOf = (value: unknown): number =>
  typeof value === 'object' && value !== null ? 1 + Math.max(0, ...Object.values(value).map(depthOf)) : 0;
const containersOf = (value: unknown): number =>
  typeof value === 'object' && value !== null
    ? 1 + Object.values(value).reduce((sum: number, each) => sum + containersOf(each), 0)
    : 0;

describe('limits of JSON text', () => {
  it('are those of the parsed value, brackets in texts and names aside', () => {
    const text = fc.oneof(fc.string(), fc.constantFrom('[[[', '{"a":', '\\"[', '"', '\\'));
    const value = fc.letrec((tie) => ({
      any: fc.oneof({ depthSize: 'small' }, text, fc.integer(), fc.constant(null), tie('list'), tie('object')),
      list: fc.array(tie('any'), { maxLength: 4 }),
      object: fc.dictionary(text, tie('any'), { maxKeys: 4 }),
    })).any;
    fc.assert(
      fc.property(
        value,
        fc.integer({ min: 0, max: 5 }),
        fc.integer({ min: 0, max: 12 }),
        (given, levels, containers) => {
          const parsed: unknown = JSON.parse(JSON.stringify(given));
          const exceeded = exceededLimit(JSON.stringify(given), { levels, containers });
          expect(exceeded === null).toBe(depthOf(parsed) <= levels && containersOf(parsed) <= containers);
        },
      ),
    );
  });
});
