import { writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { invalid } from '#kernel/errors.ts';
import { wholeNumber } from '#kernel/query.ts';
import type { BacktestAnswer, ForecastAnswer } from '#services/forecast/schemas.ts';
import type { CliContext } from '../context.ts';
import { numberOf, readColumn } from '../csv-column.ts';
import { table } from '../table.ts';

type Flags = {
  csv: string;
  column: string;
  time?: string;
  step?: string;
  last?: string;
  seasonality?: string;
  horizon: string;
  width: string;
  members?: string;
  fusion: string;
};

/** Older values add nothing, and with times they would exceed the size of a request. */
const mostRows = 20_000;

/** `tower forecast` and `tower forecast backtest`: forecasts a column of a CSV file, on a running server. */
export function addForecastCommands(program: Command, context: CliContext): void {
  const forecast = asking(program.command('forecast'))
    .description('forecast a column of a CSV file')
    .action(async (flags: Flags) => {
      const answer = await context.tower().post<ForecastAnswer>('/api/v1/forecast', await questionOf(flags));
      context.print(answer, forecastText);
    });
  forecast
    .command('backtest')
    .description('how good forecasts of the column would have been; takes the options of `tower forecast` as well')
    .option('--windows <number>', 'ends of the past to forecast from', '3')
    .option('--picture <file.svg>', 'write a picture')
    .action(async (own: { windows: string; picture?: string }) => {
      const flags = forecast.opts<Flags>();
      const title = `${flags.column} of ${flags.csv}`;
      const question = { ...(await questionOf(flags)), windows: numberOf('--windows', own.windows), title };
      const tested = await context.tower().post<BacktestAnswer>('/api/v1/forecast/backtest', question);
      context.print(tested, backtestText);
      if (own.picture !== undefined)
        await writeFile(own.picture, tested.picture).catch((error: NodeJS.ErrnoException) => {
          throw invalid(`--picture ${own.picture} cannot be written (${error.code})`);
        });
    });
}

const asking = (command: Command): Command =>
  command
    .option('--csv <file>', 'CSV with a header; - reads standard input')
    .option('--column <name>', 'the column with the values')
    .option('--time <name>', 'the column with ISO 8601 times; rows may then come in any order')
    .option('--step <seconds>', 'time between two rows, where there is no column of times')
    .option('--last <rows>', `only so many rows from the end; ${mostRows} at most`, String(mostRows))
    .option('--seasonality <steps>', 'lengths of the seasons, comma-separated, where the times do not tell')
    .option('--horizon <steps>', 'steps ahead', '24')
    .option('--width <share>', 'share of values the interval is to hold', '0.9')
    .option(
      '--members <names>',
      'only these, comma-separated: persistence, seasonal_naive, seasonal_profile, mstl, ridge, autoregression, prophet, lstm',
    )
    .option('--fusion <mode>', 'weighted, median or fixed', 'weighted');

async function questionOf({
  csv,
  column,
  time,
  step,
  last,
  seasonality,
  horizon,
  width,
  members,
  fusion,
}: Flags): Promise<object> {
  if (csv === undefined || column === undefined) throw invalid('name --csv and --column');
  const { values, times } = await readColumn(
    csv,
    column,
    time,
    wholeNumber('--last', last ?? String(mostRows), 1, mostRows),
  );
  return {
    values,
    ...(times ? { timestamps: times } : {}),
    ...(step === undefined ? {} : { step_seconds: numberOf('--step', step) }),
    ...(seasonality === undefined
      ? {}
      : { seasonality: seasonality.split(',').map((steps) => numberOf('--seasonality', steps)) }),
    horizon: numberOf('--horizon', horizon),
    interval_width: numberOf('--width', width),
    ...(members === undefined ? {} : { members: members.split(',').map((name) => name.trim()) }),
    fusion,
  };
}

const digits = (value: number | null): number | null => (value === null ? null : Number(value.toPrecision(5)));
const percent = (share: number): string => `${Math.round(share * 100)} %`;

function forecastText({
  forecast,
  interval_width,
  confidence,
  confidence_tolerance,
  members,
  notes,
  fusion,
}: ForecastAnswer): string {
  const rows = forecast.map(({ step, timestamp, value, lower, upper }) => [
    timestamp ?? String(step),
    digits(value),
    digits(lower),
    digits(upper),
  ]);
  const heads = [
    forecast[0]?.timestamp ? 'TIME' : 'STEP',
    'FORECAST',
    `LOWER ${percent(interval_width)}`,
    `UPPER ${percent(interval_width)}`,
  ];
  const parts = members.map(({ name, weight, error, left_out }) => [
    name,
    weight > 0 ? percent(weight) : '-',
    digits(error),
    left_out,
  ]);
  const sure =
    confidence === null
      ? 'too short to say how surely'
      : `within ±${percent(confidence_tolerance)} of the forecast with probability ${percent(confidence)}`;
  return [
    table(heads, rows),
    '',
    table(['MEMBER', 'WEIGHT', 'ERROR', 'LEFT OUT BECAUSE'], parts, 80),
    '',
    ...notes.map((note) => `note: ${note}`),
    `${fusion} fusion; ${sure}`,
  ].join('\n');
}

function backtestText({ methods, interval_width, horizon, notes }: BacktestAnswer): string {
  const rows = methods.map(({ name, windows, mae, smape, mase, owa, coverage }) => [
    name,
    windows,
    digits(mae),
    Number(smape.toFixed(2)),
    digits(mase),
    digits(owa),
    coverage === null ? null : percent(coverage),
  ]);
  return [
    table(['METHOD', 'WINDOWS', 'MAE', 'SMAPE', 'MASE', 'OWA', `IN ${percent(interval_width)}`], rows),
    '',
    ...notes.map((note) => `note: ${note}`),
    `${horizon} steps ahead; MASE in times of the seasonal naive forecast inside the series, OWA in times of Naive2`,
  ].join('\n');
}
