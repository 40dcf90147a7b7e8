import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '#kernel/clock.ts';
import { cliOver } from '../support/cli.ts';

afterEach(() => {
  process.exitCode = 0;
});

/** Moves an alias and has the instance poll MLflow. */
async function movedAlias() {
  const cli = await cliOver();
  const move = async (alias: string, version: string) => {
    const model = cli.fake.registry.models.find((item) => item['name'] === 'DNA') ?? {};
    model['aliases'] = [{ alias, version }];
    await cli.services.registry.refresh();
  };
  await move('blue', '1');
  return { ...cli, move };
}

describe('tower events', () => {
  it('prints events as a table or JSON', async () => {
    const { tower, move } = await movedAlias();
    await move('blue', '2');
    const { out } = await tower('events', '--type', 'model_version_alias');
    const [heading = '', newest = '', ...rest] = out.split('\n');
    expect(heading).toMatch(/^ID  OBSERVED +TYPE +MODEL  VERSION  ALIAS +CHANGE$/);
    expect(newest).toMatch(/^ 3  \S+Z  model_version_alias\.moved +DNA +2 +blue +1 → 2$/);
    expect(rest).toHaveLength(2);
    expect(JSON.parse((await tower('events', '--limit', '1', '--json')).out)).toMatchObject([
      { id: 3, before: '1', after: '2' },
    ]);
    expect((await tower('events', '--name', 'nobody')).out).toMatch(/^No matching events/);
    expect(await tower('events', '--type', 'shoe')).toMatchObject({
      code: 2,
      err: expect.stringMatching(/^tower: type must be one of/),
    });
  });

  it('streams new events with --follow, resuming after the given id', async () => {
    const { context, move } = await movedAlias();
    const following = context('events', '--follow', '--after', '1');
    await following.until((out) => out.includes('created'));
    await move('blue', '2');
    await following.until((out) => out.includes('1 → 2'));
    expect(following.out.map((line) => line.replace(/^\S+Z  /, ''))).toEqual([
      'model_version_alias.created  DNA  v1  @blue  - → 1',
      'model_version_alias.moved  DNA  v2  @blue  1 → 2',
    ]);
  });
});

describe('tower models history', () => {
  it('prints the periods of a stage and the rollback target', async () => {
    const { tower, fake, services } = await cliOver();
    const stage = (version: string, name: string) => {
      const found = fake.registry.versions.find((item) => item['name'] === 'DNA' && item['version'] === version) ?? {};
      found['current_stage'] = name;
    };
    stage('1', 'Archived');
    stage('2', 'Production');
    await services.registry.refresh();
    const { out } = await tower('models', 'history', 'DNA');
    expect(out).toMatch(
      /^VERSION +FROM +UNTIL +BY +ENDED BY\n +2 +\S+Z +now +stage +-\n +1 +before \S+Z +\S+Z +stage +stage_changed\n\nRollback target: 1 \(version 1 was Production until \S+ and still exists\)$/,
    );
    expect((await tower('models', 'history', 'DNA', '--at', '2020-01-01')).out).toMatch(
      /^Unknown at 2020-01-01T00:00:00.000Z: recording started at/,
    );
    expect(await tower('models', 'history', 'nobody')).toMatchObject({ code: 3 });
  });
});

describe('tower token and tower audit', () => {
  it('create the first key of a server with authentication, list and revoke it, and export the audit log', async () => {
    const { tower, towerWith, directory } = await cliOver({ AUTH_ENABLED: 'true' });
    expect(await tower('models', 'list')).toMatchObject({
      code: 6,
      err: expect.stringMatching(/\(set TOWER_TOKEN\)$/),
    });
    const here = { DATA_DIRECTORY: `${directory}/data` };
    const made = await towerWith(here, 'token', 'create', '--name', 'first', '--scope', 'read', '--days', '1');
    const key = made.out.split('\n').at(-1) ?? '';
    expect(key).toMatch(/^tower_[0-9a-f]{12}_/);
    expect(await towerWith({ TOWER_TOKEN: key }, 'models', 'list')).toMatchObject({ code: 0 });
    expect(await towerWith({ TOWER_TOKEN: key }, 'cache', 'clear')).toMatchObject({
      code: 6,
      err: expect.stringContaining('Scope operate is required'),
    });
    const id = key.split('_')[1] ?? '';
    expect((await towerWith(here, 'token', 'list')).out).toContain(id);
    expect((await towerWith(here, 'token', 'revoke', id)).code).toBe(0);
    expect(await towerWith({ TOWER_TOKEN: key }, 'models', 'list')).toMatchObject({ code: 6 });
    expect((await towerWith(here, 'audit', 'verify')).out).toMatch(
      /^Audit log verified: 5 entries in DATA_DIRECTORY .+$/,
    );
    const { out: log } = await towerWith(here, 'audit', 'export');
    expect(log).toContain('tower token create');
    expect(log).not.toContain(key);
  });

  it('refuse invalid input', async () => {
    const { towerWith, directory } = await cliOver();
    const here = { DATA_DIRECTORY: `${directory}/data` };
    expect(await towerWith(here, 'token', 'create', '--name', 'x', '--scope', 'root')).toMatchObject({
      code: 2,
      err: 'tower: --scope must be metrics, record, read, operate, approve or admin (got "root")',
    });
    expect(await towerWith(here, 'token', 'create', '--name', 'x', '--days', '0')).toMatchObject({ code: 2 });
    expect(await towerWith(here, 'token', 'revoke', 'x')).toMatchObject({ code: 2 });
    expect(await towerWith(here, 'token', 'revoke', '0123456789ab')).toMatchObject({ code: 3 });
    expect(await towerWith(here, 'audit', 'verify', '--file', '/nowhere')).toMatchObject({ code: 2 });
    expect(await towerWith({ DATA_DIRECTORY: `${directory}/nowhere` }, 'audit', 'verify')).toMatchObject({ code: 3 });
    const file = join(directory, 'forged.jsonl');
    writeFileSync(file, '{"head":null}\n');
    expect(await towerWith(here, 'audit', 'verify', '--file', file)).toMatchObject({ code: 1 });
    expect(await towerWith(here, 'audit', 'verify', '--against', file)).toMatchObject({ code: 2 });
  });
});

describe('tower models compare, gate and hygiene', () => {
  it("print the comparison, the gate's result and findings, with exit codes for pipelines", async () => {
    const { tower, directory } = await cliOver();
    const compared = await tower('models', 'compare', 'DNA', '1', '2');
    expect(compared.out).toMatch(/^Comparable: unknown \(MLflow has no dataset for both runs\)$/m);
    expect(compared.out).toMatch(/^accuracy +0\.945 +0\.91 +-3\.7 % +higher +champion$/m);
    expect(await tower('models', 'compare', 'DNA', '1')).toMatchObject({ code: 2 });
    const rules = join(directory, 'rules.yaml');
    writeFileSync(rules, '- metric: accuracy\n  min: 0.9\n');
    const passed = await tower('models', 'gate', 'DNA', '2', '--rules', rules);
    expect(passed).toMatchObject({
      code: 0,
      out: 'PASS: version 2 against version 1\nok    accuracy is 0.91, minimum 0.9',
    });
    writeFileSync(rules, 'rules: [{metric: accuracy, max_loss: 0.01}]');
    const failed = await tower('models', 'gate', 'DNA', '2', '--rules', rules);
    expect(failed).toMatchObject({
      code: 1,
      out: expect.stringMatching(/^FAIL: version 2 against version 1\nFAIL {2}accuracy is 0\.91/),
    });
    expect(await tower('models', 'gate', 'DNA', '2')).toMatchObject({
      code: 4,
      err: expect.stringContaining('no rules: set GATE_RULES_FILE'),
    });
    expect((await tower('models', 'hygiene', '--kind', 'dangling_alias')).out).toMatch(
      /^dangling_alias +aliased +9 +alias gone points at version 9, which was deleted$/m,
    );
    expect(await tower('models', 'hygiene', '--name', 'nobody')).toMatchObject({ code: 3 });
  });
});

describe('tower models drift and observe', () => {
  it('post observations and print the drift status', async () => {
    const { tower, directory } = await cliOver({}, { clock: systemClock });
    expect((await tower('models', 'drift', 'DNA', '2')).out).toMatch(
      /^ +2 +Staging +- +- +no_data +nothing was measured for this version after its training$/m,
    );
    expect(await tower('models', 'observe', 'DNA', '2', '--metric', 'accuracy', '--value', '0.9')).toMatchObject({
      code: 0,
      out: '1 accepted',
    });
    const file = join(directory, 'observations.json');
    const at = new Date(Date.now() - 86_400_000).toISOString();
    writeFileSync(file, JSON.stringify({ observations: [{ at, metric: 'accuracy', value: 0.91 }] }));
    expect((await tower('models', 'observe', 'DNA', '2', '--file', file)).out).toBe('1 accepted');
    expect((await tower('models', 'observe', 'DNA', '2', '--file', file)).out).toBe('0 accepted, 1 duplicates');
    expect((await tower('models', 'drift', 'DNA', '2')).out).toMatch(
      /^ +2 +Staging +accuracy +- +insufficient_data +2 days have values; 8 are required for a verdict$/m,
    );
    expect(await tower('models', 'observe', 'DNA', '2', '--metric', 'accuracy', '--value', 'x')).toMatchObject({
      code: 2,
    });
    expect(await tower('models', 'observe', 'DNA', '2')).toMatchObject({
      code: 2,
      err: 'tower: set --metric and --value, or --file',
    });
    expect(await tower('models', 'drift', 'DNA', '77')).toMatchObject({ code: 3 });
  });
});
