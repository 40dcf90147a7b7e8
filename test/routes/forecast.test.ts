import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { BacktestAnswer, ForecastAnswer } from '#services/forecast/schemas.ts';
import { cliOver } from '../support/cli.ts';
import { temporaryDirectory, testTower } from '../support/tower.ts';

afterEach(() => {
  process.exitCode = 0;
});

const start = Date.parse('2026-11-01T00:00:00Z');
const times = (count: number) => Array.from({ length: count }, (_, i) => new Date(start + i * 3_600_000).toISOString());
const wave = (count: number) =>
  Array.from({ length: count }, (_, i) => 100 + 20 * Math.sin((2 * Math.PI * i) / 24) + ((i * 7) % 5) / 5);

describe('POST /api/v1/forecast', () => {
  it('returns times, an interval, and the forecast of each member', async () => {
    const { app } = await testTower();
    const payload = { values: wave(240), timestamps: times(240), horizon: 24, lstm: { epochs: 1 } };
    const answer = (await app.inject({ method: 'POST', url: '/api/v1/forecast', payload })).json<ForecastAnswer>();
    expect(answer.forecast).toHaveLength(24);
    expect(answer.forecast[0]).toMatchObject({ step: 1, timestamp: '2026-11-11T00:00:00.000Z' });
    for (const { step, value, lower, upper } of answer.forecast) {
      expect(Math.abs(value - (100.4 + 20 * Math.sin((2 * Math.PI * (239 + step)) / 24)))).toBeLessThan(2);
      expect(lower!).toBeLessThan(value);
      expect(upper!).toBeGreaterThan(value);
    }
    expect(answer).toMatchObject({ fusion: 'weighted', seasonality: [24], step_seconds: 3600, points: 240, notes: [] });
    const weighted = answer.members.filter(({ weight }) => weight > 0);
    expect(answer.forecast[5]!.value).toBeCloseTo(
      weighted.reduce((sum, { weight, forecast }) => sum + weight * forecast![5]!, 0),
      9,
    );
    const prophet = answer.members.find(({ name }) => name === 'prophet');
    expect(answer.prophet_contribution).toEqual(prophet!.weight > 0 ? prophet!.forecast : null);
  });

  it('starts after the last known value', async () => {
    const { app } = await testTower();
    const payload = {
      values: [...wave(100), null, null],
      step_seconds: 3600,
      timestamps: times(102),
      horizon: 2,
      members: ['seasonal_naive'],
    };
    const answer = (await app.inject({ method: 'POST', url: '/api/v1/forecast', payload })).json<ForecastAnswer>();
    expect(answer.forecast.map(({ timestamp }) => timestamp)).toEqual([
      '2026-11-05T06:00:00.000Z',
      '2026-11-05T07:00:00.000Z',
    ]);
    expect(answer.forecast[0]!.value).toBeCloseTo(wave(100)[78]!, 9);
    expect(answer.notes).toEqual(['the last 2 values are missing; the forecast starts after them']);
  });
});

it('has correct times before 1970', async () => {
  const { app } = await testTower();
  const values = Array.from({ length: 60 }, (_, i) => 100 + (i % 12));
  const timestamps = values.map((_, i) => new Date(Date.UTC(1949 + Math.floor(i / 12), i % 12)).toISOString());
  const answer = await app.inject({
    method: 'POST',
    url: '/api/v1/forecast',
    payload: { values, timestamps, horizon: 2 },
  });
  const { forecast } = answer.json<{ forecast: { timestamp: string | null }[] }>();
  expect(forecast.map(({ timestamp }) => timestamp)).toEqual(['1954-01-01T00:00:00.000Z', '1954-02-01T00:00:00.000Z']);
});

describe('tower forecast', () => {
  const csv = (text: string): string => {
    const file = join(mkdtempSync(join(temporaryDirectory(), 'csv-')), 'load.csv');
    writeFileSync(file, text);
    return file;
  };

  it('prints the forecast of a column, its members and its confidence', async () => {
    const { tower } = await cliOver();
    const file = csv(
      `at,requests\n${wave(120)
        .map((value, i) => `${times(120)[i]!.replace('T', ' ').slice(0, 19)},${value}`)
        .join('\n')}\n`,
    );
    const { out, code, err } = await tower(
      'forecast',
      '--csv',
      file,
      '--column',
      'requests',
      '--time',
      'at',
      '--horizon',
      '2',
      '--members',
      'seasonal_naive,mstl',
    );
    expect(err).toBe('');
    expect(code).toBe(0);
    const lines = out.split('\n');
    expect(lines[0]).toMatch(/^TIME +FORECAST +LOWER 90 % +UPPER 90 %$/);
    expect(lines[1]).toMatch(/^2026-11-06T00:00:00.000Z +\d/);
    expect(out).toMatch(/^weighted fusion; within ±20 % of the forecast with probability 89 %$/m);
    expect(JSON.parse((await tower('forecast', '--csv', file, '--column', 'requests', '--json')).out)).toHaveProperty(
      'forecast',
    );
  });

  it('reads the file of a spreadsheet, and forecasts the dates of its calendar', async () => {
    const { tower } = await cliOver();
    const rows = Array.from({ length: 30 }, (_, i) => {
      const end = new Date(Date.UTC(2024, i + 1, 0)).toISOString().slice(0, 10).split('-').toReversed().join('.');
      return `${end};1.${200 + 10 * (i % 12)},50`;
    });
    const file = csv(`Tag;Umsatz\r\n${rows.join('\r\n')}\r\n`);
    const asked = ['forecast', '--csv', file, '--column', 'Umsatz', '--time', 'Tag', '--horizon', '2'];
    const { out, err } = await tower(...asked);
    expect(err).toContain(
      'is read with: delimiter semicolon, decimal comma, thousands mark ".", times as day.month.year',
    );
    expect(
      out
        .split('\n')
        .slice(0, 3)
        .map((line) => line.split(/ {2,}/)[0]),
    ).toEqual(['DATE', '2026-07-31', '2026-08-31']);
    expect(out).toContain('frequency: month end, time zone: UTC');
    const bounded = await tower(...asked, '--upper-bound', '900');
    expect(bounded.err).toMatch(/^tower: --upper-bound must not be below a value/m);
    expect(bounded.code).toBe(2);
  });

  it('runs backtests, with a plot', async () => {
    const { tower } = await cliOver();
    const file = csv(`requests\n${wave(200).join('\n')}\n`);
    const picture = `${file}.svg`;
    const { out, code } = await tower(
      'forecast',
      'backtest',
      '--csv',
      file,
      '--column',
      'requests',
      '--step',
      '3600',
      '--horizon',
      '12',
      '--windows',
      '2',
      '--members',
      'seasonal_naive,mstl',
      '--picture',
      picture,
    );
    expect(code).toBe(0);
    expect(out.split('\n')[0]).toMatch(/^METHOD +WINDOWS +MAE +SMAPE +MASE +OWA +IN 90 %$/);
    expect(out).toMatch(/^fused +2 /m);
    expect(out).toMatch(/^naive2 +2 .* 1 +-$/m);
    expect(readFileSync(picture, 'utf8')).toMatch(/^<svg .*requests of .*<\/svg>\n$/s);
    expect(
      JSON.parse(
        (await tower('forecast', 'backtest', '--csv', file, '--column', 'requests', '--json')).out,
      ) as BacktestAnswer,
    ).toHaveProperty('methods');
  });

  it.each([
    [['--column', 'x'], /^tower: set --csv and --column$/],
    [['--csv', 'none.csv', '--column', 'x'], /^tower: cannot read --csv none.csv \(ENOENT\)$/],
    [['--csv', 'FILE', '--column', 'x'], /^tower: .*load.csv has no column x; columns: a, b \(delimiter: comma\)$/],
    [['--csv', 'FILE', '--column', 'b'], /^tower: b in row 2 must be a number \(got "two"\); decimal mark: point$/],
    [
      ['--csv', 'FILE', '--column', 'a', '--time', 'b'],
      /^tower: b in row 1 must be a time \(got "1"\); accepted: ISO 8601, /,
    ],
    [['--csv', 'FILE', '--column', 'a', '--horizon', 'x'], /^tower: --horizon must be a number \(got "x"\)$/],
  ])('refuses %j', async (args, message) => {
    const { tower } = await cliOver();
    const file = csv('a,b\n1,1\n2,two\n');
    const { err, code } = await tower('forecast', ...args.map((arg) => (arg === 'FILE' ? file : arg)));
    expect(err).toMatch(message);
    expect(code).toBe(2);
  });
});
