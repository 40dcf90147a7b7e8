import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type GateRule, readGateRules } from '#services/registry/promotion/gate-rules.ts';
import { judging, pair, version } from '../../../support/promotion.ts';
import { temporaryDirectory } from '../../../support/tower.ts';

describe('the promotion gate', () => {
  it.each<[string, GateRule, boolean, RegExp]>([
    ['a metric above its bound', { metric: 'accuracy', min: 0.92 }, true, /^accuracy is 0.92, minimum 0.92$/],
    ['a metric below its bound', { metric: 'accuracy', min: 0.93 }, false, /minimum 0.93/],
    ['a metric over its limit', { metric: 'loss', max: 0.5 }, false, /maximum 0.5/],
    ['a missing metric', { metric: 'shoe', min: 0 }, false, /^version 2 has no value of shoe$/],
    ['a metric better than the baseline', { metric: 'accuracy', max_loss: 0 }, true, /higher is better$/],
    ['a metric worse than the baseline', { metric: 'loss', max_loss: 0.05 }, false, /worse by 0.1, maximum 0.05$/],
    ['a metric worse by exactly the maximum', { metric: 'loss', max_loss: 0.1 }, true, /lower is better$/],
    [
      'a metric worse by exactly the maximum in per cent',
      { metric: 'loss', max_loss_pct: 20 },
      true,
      /lower is better$/,
    ],
    [
      'a metric worse by more than the maximum in per cent',
      { metric: 'loss', max_loss_pct: 19 },
      false,
      /maximum 0.095$/,
    ],
    ['a metric of unknown direction', { metric: 'odd', max_loss: 5 }, false, /^the better direction of odd is unknown/],
    ['a metric the baseline lacks', { metric: 'new', max_loss: 5 }, false, /^version 2 has no value of new$/],
    ['a tag', { tag: 'ok' }, true, /^tag ok is "yes"$/],
    ['a tag with its value', { tag: 'ok', equals: 'no' }, false, /^tag ok is "yes", must be "no"$/],
    ['a missing tag', { tag: 'constructor' }, false, /^tag constructor is missing$/],
    ['an owner, on the model', { owner: true }, true, /^tag Team names an owner$/],
    ['an age within the maximum', { max_age_days: 10 }, true, /^version is 10 days old, maximum \d+$/],
    ['an age above the maximum', { max_age_days: 9 }, false, /^version is 10 days old, maximum \d+$/],
    ['an age below the minimum', { min_age_hours: 241 }, false, /^version is 240 hours old, minimum 241$/],
    ['the stage', { stage: 'Staging' }, true, /^stage is Staging, required Staging$/],
    ['the run', { ready: true }, true, /^run status is FINISHED, required FINISHED$/],
    ['the dataset', { same_dataset: true }, true, /^both were measured on holdout$/],
  ])('evaluates %s', async (_what, rule, passed, reason) => {
    const { gate } = await judging(pair);
    const result = await gate([rule]);
    expect(result).toMatchObject({ status: passed ? 'pass' : 'fail', version: '2', baseline: '1' });
    expect(result.rules).toEqual([{ rule, passed, reason: expect.stringMatching(reason) }]);
  });

  it('fails if one rule fails, with the reason of each', async () => {
    const { gate } = await judging(pair);
    const result = await gate([{ metric: 'accuracy', min: 0.5 }, { tag: 'missing' }]);
    expect(result).toMatchObject({ status: 'fail', rules: [{ passed: true }, { passed: false }] });
  });

  it('evaluates the current state in MLflow', async () => {
    const { gate, fake } = await judging(pair);
    const second = fake.registry.versions.find((item) => item['version'] === '2') ?? {};
    second['tags'] = [];
    expect((await gate([{ tag: 'ok' }])).status).toBe('fail');
    second['tags'] = [{ key: 'ok', value: 'yes' }];
  });

  it('does not pass if MLflow is unreachable', async () => {
    const { gate, fake } = await judging(pair);
    await fake.close();
    const result = await gate([{ metric: 'accuracy', min: 0.5 }]);
    expect(result).toMatchObject({
      status: 'fail',
      rules: [{ passed: false, reason: expect.stringMatching(/^cannot read the model from MLflow/) }, { passed: true }],
    });
  });

  it('has no baseline if no other version is in production', async () => {
    const { gate } = await judging({ ...pair, versions: [version('1'), version('2')] });
    expect(await gate([{ metric: 'accuracy', max_loss: 1 }])).toMatchObject({
      baseline: null,
      status: 'fail',
      rules: [{ reason: 'no baseline: no other version is in production' }],
    });
    expect(await gate([{ metric: 'accuracy', max_loss: 1 }], { baseline: '1' })).toMatchObject({
      baseline: '1',
      status: 'pass',
    });
  });

  it('never compares a version with itself', async () => {
    const { app } = await judging(pair);
    const payload = { rules: [{ metric: 'accuracy', max_loss: 0 }] };
    const itself = await app.inject({
      method: 'POST',
      url: '/model/DNA/2/gate',
      payload: { ...payload, baseline: '2' },
    });
    expect(itself.json()).toMatchObject({ detail: 'baseline must differ from the evaluated version' });
    expect((await app.inject({ method: 'POST', url: '/model/DNA/2/gate?baseline=1', payload })).statusCode).toBe(400);
  });

  it('reads rules from a file', async () => {
    const file = join(temporaryDirectory(), 'gate.yaml');
    writeFileSync(file, 'rules:\n  - metric: accuracy\n    max_loss_pct: 1\n  - owner: true\n');
    const { app } = await judging(pair, { GATE_RULES_FILE: file });
    expect((await app.inject({ method: 'POST', url: '/model/DNA/2/gate' })).json()).toMatchObject({
      status: 'pass',
      rules: [{}, {}],
    });
  });

  it.each([
    ['rules: []', /must have at least one rule/],
    ['- metric: x', /rule 1 must be one of \{metric, min\}/],
    ['- owner: true\n- shoe: 1', /rule 2 must be one of/],
    ['{', /is neither valid YAML nor JSON/],
    ['rules: 7', /must be an array of rules/],
  ])('refuses a file of %j', async (text, problem) => {
    const file = join(temporaryDirectory(), 'gate.yaml');
    writeFileSync(file, text);
    await expect(readGateRules(file)).rejects.toThrow(problem);
    await expect(readGateRules('/nowhere')).rejects.toThrow(/cannot be read \(ENOENT\)/);
  });
});
