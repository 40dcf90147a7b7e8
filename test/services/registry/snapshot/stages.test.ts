import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { effectiveStage, stageOf, stages } from '#services/registry/snapshot/stages.ts';
import { aliasTable } from '../../../support/sources.ts';

describe('effective stage', () => {
  it.each([
    ['Production', ['archived'], 'Production', 'stage'],
    ['Archived', ['champion'], 'Archived', 'stage'],
    ['None', ['Champion'], 'Production', 'alias'],
    ['None', ['challenger', 'champion'], 'Production', 'alias'],
    ['None', ['prod-eu'], 'Production', 'alias'],
    ['None', ['PRODUCTION/us'], 'Production', 'alias'],
    ['None', ['product-tests'], 'None', 'none'],
    ['None', ['my-alias'], 'None', 'none'],
    ['None', [], 'None', 'none'],
  ] as const)('of stage %s with aliases %j is %s, from %s', (current, aliases, stage, source) => {
    expect(effectiveStage(current, [...aliases], aliasTable)).toEqual({ stage, source });
  });

  it('prefers a stage to aliases', () => {
    fc.assert(
      fc.property(fc.constantFrom(...stages.slice(1)), fc.array(fc.string()), (stage, aliases) => {
        expect(effectiveStage(stage, aliases, aliasTable)).toEqual({ stage, source: 'stage' });
      }),
    );
  });

  it('is derived from any spelling of an alias', () => {
    expect(['production', 'STAGING', 'none', 'Archived', 'whatever', ''].map(stageOf)).toEqual([
      'Production',
      'Staging',
      'None',
      'Archived',
      'None',
      'None',
    ]);
  });
});
