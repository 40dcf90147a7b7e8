import { afterEach, describe, expect, it } from 'vitest';
import { run } from '#cli/main.ts';
import { card, table } from '#cli/table.ts';
import { cliOver } from '../support/cli.ts';

afterEach(() => {
  process.exitCode = 0;
});

describe('tower models', () => {
  it('list prints a table, or JSON with --json', async () => {
    const { tower } = await cliOver();
    const { out, code } = await tower('models', 'list');
    expect(code).toBe(0);
    expect(out.split('\n')).toEqual([
      'NAME     VERSION  STAGE               ALIASES   TYPE        METRICS',
      'DNA            1  Production          champion  classifier  accuracy=0.945 bad=n/a',
      'DNA            2  Staging             -         -           accuracy=0.91 inf=n/a',
      'DNA           10  None                -         -           accuracy=0.5',
      'aliased        1  None                -         -           -',
      'aliased        2  Production (alias)  Champion  -           accuracy=0.91 inf=n/a',
    ]);
    expect(JSON.parse((await tower('models', 'list', '--stage', 'Production', '--json')).out)).toHaveLength(2);
    expect(
      (await tower('models', 'list', '--metric', 'accuracy>=0.9', '--tag', 'validated=true')).out.split('\n'),
    ).toHaveLength(2);
    expect((await tower('models', 'list', '--search', 'nothing')).out).toBe('No matching model versions.');
  });

  it('list reads all pages unless a limit is set', async () => {
    const { tower } = await cliOver({ MAX_MODELS_RETURNED: '2' });
    expect(JSON.parse((await tower('models', 'list', '--json')).out)).toHaveLength(5);
    expect(JSON.parse((await tower('models', 'list', '--limit', '1', '--json')).out)).toHaveLength(1);
    expect((await tower('models', 'show', 'DNA', '10')).code).toBe(0);
  });

  it('show, monitor and unmonitor have exit codes for scripts', async () => {
    const { tower } = await cliOver();
    expect((await tower('models', 'show', 'DNA', '1')).out).toMatch(/^stage +Production$/m);
    expect(await tower('models', 'show', 'DNA', '9')).toMatchObject({
      code: 3,
      err: 'tower: model DNA has no version 9; available: 1, 2, 10',
    });
    expect(await tower('models', 'show', 'nope')).toMatchObject({
      code: 3,
      err: 'tower: Model "nope" not found in MLflow',
    });
    expect(await tower('models', 'monitor', 'DNA', '1', '--type', 'classifier', '--by', 'dana')).toMatchObject({
      code: 0,
      out: 'Model DNA v1 added to monitoring as classifier',
    });
    expect(await tower('models', 'monitor', 'DNA', '1', '--type', 'classifier')).toMatchObject({
      code: 2,
      err: 'tower: Model is already being monitored',
    });
    expect(await tower('models', 'monitor', 'DNA', '2', '--type', 'oracle')).toMatchObject({
      code: 2,
      err: 'tower: Invalid model type. Must be classifier or regressor',
    });
    expect((await tower('models', 'list', '--monitored')).out).toContain('DNA ');
    expect(await tower('models', 'unmonitor', 'DNA', '1')).toMatchObject({ code: 0 });
    expect(await tower('models', 'unmonitor', 'DNA', '1')).toMatchObject({ code: 3 });
  });
});

describe('tower cache and status', () => {
  it('info, refresh and clear', async () => {
    const { tower, fake } = await cliOver();
    expect((await tower('cache', 'info')).out).toMatch(/^total_models +5$/m);
    expect((await tower('cache', 'refresh')).out).toBe('Cache refreshed successfully: 5 model versions');
    expect((await tower('cache', 'clear')).out).toBe(
      'Persistent cache cleared successfully. Next startup will fetch fresh data from MLflow',
    );
    await fake.close();
    expect(await tower('cache', 'refresh')).toMatchObject({
      code: 5,
      err: expect.stringContaining('cannot reach MLflow'),
    });
    expect(await tower('status')).toMatchObject({ code: 5, out: expect.stringMatching(/^status +degraded$/m) });
  });

  it('clear without a cache file says so', async () => {
    const { tower } = await cliOver({ ENABLE_CACHE_PERSISTENCE: 'false' });
    expect(await tower('cache', 'clear')).toMatchObject({
      code: 0,
      out: expect.stringContaining('Nothing to clear'),
    });
  });

  it('status has exit code 0 for a healthy server', async () => {
    const { tower } = await cliOver();
    expect(await tower('status')).toMatchObject({ code: 0, out: expect.stringMatching(/^status +healthy$/m) });
  });
});

describe('the command line', () => {
  const alone = async (...args: string[]) => {
    const [out, err]: [string[], string[]] = [[], []];
    process.exitCode = 0;
    await run(args, {
      serve: async () => undefined,
      env: {},
      out: (text) => out.push(text),
      err: (text) => err.push(text),
    });
    return { code: process.exitCode, out: out.join('\n'), err: err.join('\n') };
  };

  it('prints commands and exit codes with --help', async () => {
    const { code, out } = await alone('--help');
    expect(code).toBe(0);
    for (const word of [
      'serve',
      'models',
      'cache',
      'status',
      '--json',
      'Exit codes: 0 success, 1 failed, 2 invalid usage',
    ])
      expect(out).toContain(word);
  });

  it('has exit code 2 for an unknown command or option', async () => {
    expect(await alone('modls', 'list')).toMatchObject({
      code: 2,
      err: expect.stringContaining('Did you mean models?') as string,
    });
    expect(await alone('models', 'list', '--shoe')).toMatchObject({
      code: 2,
      err: expect.stringContaining("unknown option '--shoe'"),
    });
    expect(await alone('models', 'monitor', 'x', '1')).toMatchObject({
      code: 2,
      err: expect.stringContaining('--type'),
    });
    expect(await alone('--url', 'nonsense', 'status')).toMatchObject({
      code: 2,
      err: expect.stringContaining('--url must be'),
    });
  });

  it('has exit code 5 without a server, and says how to start one', async () => {
    expect(await alone('--url', 'http://127.0.0.1:9', 'status')).toMatchObject({
      code: 5,
      err: 'tower: cannot connect to http://127.0.0.1:9; start a server with "tower serve", or set --url or TOWER_URL',
    });
  });
});

describe('tables', () => {
  it('cuts cells wider than their column, and removes control characters', () => {
    expect(
      table(
        ['A', 'N'],
        [
          ['x'.repeat(60), 1],
          ['模型\u001b[31m', 10],
        ],
        12,
      ),
    ).toBe('A          N\nxxxxxxx…   1\n模型 [3…  10');
    expect(
      card([
        ['a', null],
        ['list', ['x', 'y']],
        ['map', { k: 1 }],
      ]),
    ).toBe('a     -\nlist  x, y\nmap   k=1');
    // On a terminal, values wrap between words.
    expect(card([['why', `it is so because ${'x'.repeat(30)} of it`]], 26)).toBe(
      `why  it is so because\n     ${'x'.repeat(30)}\n     of it`,
    );
  });
});
